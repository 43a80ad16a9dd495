// What every page of the lab has: a log, a peer connection whose candidates wait to be fetched, and channels with inboxes.
// The test evaluates calls of these functions, and carries descriptions and candidates between the page and Rust.
"use strict";

const lab = {
  /** What happened, for the failure report. */
  log: [],
  /** @type {RTCPeerConnection} */
  pc: null,
  /** Values of connectionState, in order. */
  states: [],
  /** Candidates that the test has not fetched yet; null ends a generation. */
  candidates: [],
  /** Channels by label. */
  channels: new Map(),

  note(...words) {
    lab.log.push(`${performance.now().toFixed(1)} ms  ${words.join(" ")}`);
  },

  start(configuration) {
    const pc = (lab.pc = new RTCPeerConnection(configuration));
    pc.onicecandidate = ({ candidate }) => {
      lab.note("local candidate", candidate ? candidate.candidate : "(end)");
      lab.candidates.push(candidate ? candidate.toJSON() : null);
    };
    pc.onicecandidateerror = (event) => lab.note("candidate error", event.errorCode, event.errorText);
    pc.onsignalingstatechange = () => lab.note("signaling", pc.signalingState);
    pc.onicegatheringstatechange = () => lab.note("gathering", pc.iceGatheringState);
    pc.oniceconnectionstatechange = () => lab.note("ice", pc.iceConnectionState);
    pc.onconnectionstatechange = () => {
      lab.note("connection", pc.connectionState);
      lab.states.push(pc.connectionState);
    };
    pc.ondatachannel = ({ channel }) => lab.adopt(channel);
  },

  // Signalling.

  // Offers and answers come as they were created, without candidates; `gathered` has them all.
  async offer() {
    const offer = await lab.pc.createOffer();
    await lab.pc.setLocalDescription(offer);
    return offer;
  },
  async answer(offer) {
    await lab.pc.setRemoteDescription(offer);
    const answer = await lab.pc.createAnswer();
    await lab.pc.setLocalDescription(answer);
    return answer;
  },
  accept(answer) {
    return lab.pc.setRemoteDescription(answer);
  },
  async add(candidate) {
    lab.note("remote candidate", candidate?.candidate ?? "(end)");
    await lab.pc.addIceCandidate(candidate ?? undefined);
  },
  /** The candidates since the last call. */
  take() {
    return lab.candidates.splice(0);
  },
  /** The local description, once it holds every candidate. */
  async gathered() {
    await until(() => lab.pc.iceGatheringState === "complete", lab.pc, "icegatheringstatechange");
    return lab.pc.localDescription;
  },
  async reaches(state) {
    await until(() => lab.pc.connectionState === state, lab.pc, "connectionstatechange");
  },

  // Channels.

  create(label, init) {
    return lab.adopt(lab.pc.createDataChannel(label, init));
  },
  adopt(dc) {
    const channel = new Channel(dc);
    lab.channels.set(dc.label, channel);
    lab.pc.dispatchEvent(new Event("adopted"));
    return channel;
  },
  /** The channel of that label, whoever created it, in whatever state. */
  async known(label) {
    await until(() => lab.channels.has(label), lab.pc, "adopted");
    return lab.channels.get(label);
  },
  /** The channel of that label once it is open. */
  async channel(label) {
    const channel = await lab.known(label);
    await channel.opened();
    return channel;
  },
};

class Channel {
  inbox = [];
  ended = false;

  constructor(dc) {
    this.dc = dc;
    dc.binaryType = "arraybuffer";
    dc.onmessage = ({ data }) => {
      this.inbox.push(data);
      dc.dispatchEvent(new Event("arrival"));
    };
    dc.onopen = () => lab.note("open", dc.label);
    dc.onclosing = () => lab.note("closing", dc.label);
    dc.onclose = () => {
      lab.note("closed", dc.label);
      this.ended = true;
    };
    dc.onerror = ({ error }) => lab.note("error", dc.label, error);
  }

  async opened() {
    await until(() => this.dc.readyState !== "connecting", this.dc, "open");
    if (this.dc.readyState !== "open") throw new Error(`${this.dc.label} is ${this.dc.readyState}`);
  }

  /** After its last message: a channel may be closed before the events of what came on it have been fired. */
  async closed() {
    await until(() => this.ended, this.dc, "close");
  }

  /** The next message as it came: a string or an ArrayBuffer. */
  async receive() {
    await until(() => this.inbox.length > 0, this.dc, "arrival");
    return this.inbox.shift();
  }

  /** Sends without ever having more than `limit` bytes wait in the browser. */
  async send(data, limit = 1 << 20) {
    this.dc.bufferedAmountLowThreshold = limit / 2;
    await until(() => this.dc.bufferedAmount <= limit, this.dc, "bufferedamountlow");
    this.dc.send(data);
  }

  /** As the other side should see this channel. */
  describe() {
    const { label, protocol, id, ordered, maxRetransmits, maxPacketLifeTime, negotiated } = this.dc;
    return { label, protocol, id, ordered, maxRetransmits, maxPacketLifeTime, negotiated };
  }

  /** Sends every message back as it came, until the channel closes. */
  echo() {
    this.dc.onmessage = ({ data }) => this.dc.send(data);
    for (const data of this.inbox.splice(0)) this.dc.send(data);
  }
}

/** Resolves when `condition` holds: now, or after one of the events `type` of `target`. */
function until(condition, target, type) {
  return new Promise((resolve) => {
    const check = () => {
      if (!condition()) return;
      target.removeEventListener(type, check);
      resolve();
    };
    target.addEventListener(type, check);
    check();
  });
}

/** What a message is, short enough to compare elsewhere. */
async function summary(data) {
  const kind = typeof data === "string" ? "text" : "binary";
  const bytes = kind === "text" ? new TextEncoder().encode(data) : data;
  return { kind, length: bytes.byteLength, sha256: await sha256(bytes) };
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Bytes without a pattern that a mix-up of chunks would survive. */
function noise(length) {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = 0x9e3779b9;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return words.buffer.slice(0, length);
}

for (const level of ["error", "warn"]) {
  const original = console[level];
  console[level] = (...words) => {
    lab.note(level, ...words);
    original.apply(console, words);
  };
}
addEventListener("error", ({ message, filename, lineno }) => lab.note("error", message, filename, lineno));
addEventListener("unhandledrejection", ({ reason }) => lab.note("unhandled rejection", reason));
