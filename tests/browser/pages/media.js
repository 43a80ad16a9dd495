// Pictures that say their numbers (see clips/README.md), sound, and what arrives of both.
"use strict";

const WIDTH = 160;
const HEIGHT = 96;
const BITS = 5;
const COLOURS = ["#f00", "#0f0", "#00f"];

const media = {
  /** What arrives, in the order of its track events. @type {Arrival[]} */
  arrivals: [],
  /** Cameras by name. */
  cameras: new Map(),
  /** Tones that this side plays, as they begin. */
  tones: [],

  /** Begins to listen for tracks; after lab.start(). */
  start() {
    lab.pc.ontrack = ({ track, transceiver, streams }) => {
      lab.note("track", track.kind, transceiver.mid, streams.map(({ id }) => id));
      if (media.arrivals.some((arrival) => arrival.track === track)) return;
      media.arrivals.push(new Arrival(track, transceiver, streams));
    };
  },

  /** A track of pictures, the number of each in it; under noise, they take whatever bitrate there is. */
  camera(name = "camera", scale = 1, rate = 30, noisy = false) {
    const camera = new Camera(scale, rate, noisy);
    media.cameras.set(name, camera);
    return camera.track;
  },

  async microphone() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { autoGainControl: false, echoCancellation: false, noiseSuppression: false } });
    return stream.getAudioTracks()[0];
  },

  /** Adds a transceiver for `kind` that uses the codecs of that name only, in `direction`, and sends a track if it sends. */
  async add(kind, direction, codecs, encodings, scale, noisy) {
    const sends = direction.startsWith("send");
    const track = !sends ? kind : kind === "video" ? media.camera("camera", scale, 30, noisy) : await media.microphone();
    const init = { direction, streams: sends ? [new MediaStream([track])] : [] };
    if (encodings) init.sendEncodings = encodings;
    const transceiver = lab.pc.addTransceiver(track, init);
    if (codecs) media.prefer(transceiver, codecs);
  },

  /** Names only these codecs, in this order, and what accompanies them. */
  prefer(transceiver, names) {
    const { codecs } = RTCRtpReceiver.getCapabilities(transceiver.receiver.track.kind);
    const named = (name) => codecs.filter(({ mimeType }) => mimeType.split("/")[1].toLowerCase() === name.toLowerCase());
    const chosen = names.flatMap(named);
    if (chosen.length === 0) throw new Error(`no ${names} here`);
    transceiver.setCodecPreferences([...chosen, ...named("rtx"), ...named("telephone-event")]);
  },

  /** Offers the header extensions that tell of layers, which the browser speaks but does not offer. */
  describeLayers() {
    const isOfLayers = ({ uri }) => /dependency-descriptor|video-layers-allocation/.test(uri);
    for (const transceiver of lab.pc.getTransceivers()) {
      const all = transceiver.getHeaderExtensionsToNegotiate();
      transceiver.setHeaderExtensionsToNegotiate(all.map((entry) => (isOfLayers(entry) ? { ...entry, direction: "sendrecv" } : entry)));
    }
  },

  /** Applies an offer, gives its transceivers tracks to send where they do not, and answers. */
  async answerWithTracks(offer) {
    await lab.pc.setRemoteDescription(offer);
    for (const transceiver of lab.pc.getTransceivers()) {
      const { sender, receiver } = transceiver;
      if (sender.track) continue;
      await sender.replaceTrack(receiver.track.kind === "video" ? media.camera() : await media.microphone());
      transceiver.direction = "sendrecv";
    }
    await lab.pc.setLocalDescription();
    return lab.pc.localDescription;
  },

  /** Offers whenever that is needed, and takes its own offer back for the other's if it is polite (webrtc-pc §10.7). */
  negotiate(polite) {
    let making = false;
    media.outbox = [];
    lab.pc.onnegotiationneeded = async () => {
      making = true;
      await lab.pc.setLocalDescription();
      lab.note("offers");
      media.outbox.push(lab.pc.localDescription.toJSON());
      making = false;
    };
    media.take = () => media.outbox.splice(0);
    media.hear = async (description) => {
      const collides = description.type === "offer" && (making || lab.pc.signalingState !== "stable");
      lab.note("hears", description.type, collides);
      if (collides && !polite) return;
      await lab.pc.setRemoteDescription(description);
      if (description.type === "offer") {
        await lab.pc.setLocalDescription();
        media.outbox.push(lab.pc.localDescription.toJSON());
      }
    };
  },

  /** What has been seen of the pictures of each section so far, by MID. */
  seen() {
    const pictures = media.arrivals.filter(({ track }) => track.kind === "video");
    return Object.fromEntries(pictures.map((arrival) => [arrival.transceiver.mid, arrival.summary()]));
  },

  /** How loud each frequency of the sound is, in dB, over a part of a second. */
  async spectrum(frequencies) {
    const arrival = media.arrivals.find(({ track }) => track.kind === "audio");
    if (!arrival) return null;
    // Recorded and decoded: without a sound card, Firefox's AudioContext does not run.
    const recorder = new MediaRecorder(new MediaStream([arrival.track]));
    const chunks = [];
    recorder.ondataavailable = ({ data }) => chunks.push(data);
    recorder.start();
    await new Promise((done) => setTimeout(done, 500));
    const stopped = new Promise((done) => (recorder.onstop = done));
    recorder.stop();
    await stopped;
    const bytes = await new Blob(chunks).arrayBuffer();
    if (bytes.byteLength === 0) return null;
    const sound = await new OfflineAudioContext(1, 48000, 48000).decodeAudioData(bytes);
    const samples = sound.getChannelData(0).slice(-9600);
    return frequencies.map((frequency) => level(samples, (2 * Math.PI * frequency) / 48000));
  },

  /** The entries of getStats() of one type and kind, with their codecs' names. */
  async stats(type, kind) {
    const report = await lab.pc.getStats();
    const all = [...report.values()].filter((entry) => entry.type === type && entry.kind === kind);
    return all.map((entry) => ({ ...entry, codec: report.get(entry.codecId)?.mimeType }));
  },

  /** How many bits a second of pictures leave, since the call before, if that was more than half a second ago. */
  async rate() {
    const [{ bytesSent, headerBytesSent = 0, timestamp }] = await media.stats("outbound-rtp", "video");
    const bits = 8 * (bytesSent + headerBytesSent);
    const before = media.counted;
    if (before && timestamp - before.timestamp < 500) return media.rateBefore;
    media.counted = { bits, timestamp };
    if (before) media.rateBefore = ((bits - before.bits) * 1000) / (timestamp - before.timestamp);
    return media.rateBefore;
  },

  /** The estimate of what can be sent, of a browser that tells it. */
  async available() {
    const pairs = [...(await lab.pc.getStats()).values()].filter(({ type, nominated }) => type === "candidate-pair" && nominated);
    return pairs[0]?.availableOutgoingBitrate;
  },

  /** The transport's entry of getStats(). */
  async transport() {
    return [...(await lab.pc.getStats()).values()].find(({ type }) => type === "transport");
  },

  /** The sum of a member over the entries of one type and kind, and of one codec if it is named. */
  async sum(type, kind, member, mimeType) {
    const entries = (await media.stats(type, kind)).filter(({ codec }) => !mimeType || codec === mimeType);
    return entries.reduce((sum, entry) => sum + (entry[member] ?? 0), 0);
  },
};

/** The level of one frequency, in dB below full scale, by Goertzel's algorithm. */
function level(samples, angle) {
  let [one, two] = [0, 0];
  for (const [index, sample] of samples.entries()) {
    const window = 1 - Math.cos((2 * Math.PI * index) / samples.length);
    [one, two] = [sample * window + 2 * Math.cos(angle) * one - two, one];
  }
  const power = one * one + two * two - 2 * Math.cos(angle) * one * two;
  return Math.max(-200, 10 * Math.log10((4 * power) / samples.length ** 2));
}

class Camera {
  number = 0;

  constructor(scale, rate, noisy) {
    this.noisy = noisy;
    this.canvas = document.createElement("canvas");
    this.canvas.width = WIDTH * scale;
    this.canvas.height = HEIGHT * scale;
    document.body.append(this.canvas);
    this.context = this.canvas.getContext("2d");
    this.context.scale(scale, scale);
    this.draw();
    this.timer = setInterval(() => this.draw(), 1000 / rate);
    this.track = this.canvas.captureStream(rate).getVideoTracks()[0];
  }

  draw() {
    const number = this.number++ % (1 << BITS);
    const stripe = WIDTH / BITS;
    for (let bit = 0; bit < BITS; bit++) {
      this.context.fillStyle = (number >> bit) & 1 ? "#fff" : "#000";
      this.context.fillRect(bit * stripe, 0, stripe, HEIGHT / 2);
    }
    this.context.fillStyle = COLOURS[number % 3];
    this.context.fillRect(0, HEIGHT / 2, WIDTH, HEIGHT / 2);
    if (this.noisy) this.drawNoise(4);
  }

  drawNoise(size) {
    for (let x = 0; x < WIDTH; x += size) {
      for (let y = 0; y < HEIGHT; y += size) {
        const grey = Math.floor(256 * Math.random());
        this.context.fillStyle = `rgb(${grey} ${grey} ${grey} / 0.3)`;
        this.context.fillRect(x, y, size, size);
      }
    }
  }
}

class Arrival {
  /** Numbers of pictures, as they were shown. */
  numbers = [];
  /** Pictures whose colour does not fit their number. */
  wrong = 0;
  /** The sizes in which pictures came. */
  sizes = new Set();

  constructor(track, transceiver, streams) {
    Object.assign(this, { track, transceiver, streams: streams.map(({ id }) => id) });
    this.element = document.createElement(track.kind);
    Object.assign(this.element, { autoplay: true, muted: track.kind === "video", playsInline: true });
    document.body.append(this.element);
    this.element.srcObject = new MediaStream([track]);
    this.element.play().catch((error) => lab.note("play", error));
    if (track.kind === "video") this.watch();
  }

  watch() {
    const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const look = () => {
      this.sizes.add(`${this.element.videoWidth}x${this.element.videoHeight}`);
      context.drawImage(this.element, 0, 0, WIDTH, HEIGHT);
      const at = (x, y) => [...context.getImageData(x, y, 1, 1).data.slice(0, 3)];
      let number = 0;
      for (let bit = 0; bit < BITS; bit++) {
        const [r, g, b] = at((bit + 0.5) * (WIDTH / BITS), HEIGHT / 8);
        if (r + g + b > 384) number |= 1 << bit;
      }
      const colour = at(WIDTH / 2, (HEIGHT * 3) / 4);
      if (colour.indexOf(Math.max(...colour)) === number % 3) this.numbers.push(number);
      else this.wrong++;
      this.element.requestVideoFrameCallback(look);
    };
    this.element.requestVideoFrameCallback(look);
  }

  summary() {
    const { numbers, wrong, sizes, streams } = this;
    return { shown: numbers.length, distinct: new Set(numbers).size, wrong, sizes: [...sizes], streams };
  }
}
