// The page's side of the conversation: signalling over a WebSocket, audio and video, a chat channel, and a channel per file.
import { nextCamera, open } from './media.js';
import { Meter, Plot } from './plot.js';
import { Sha256 } from './sha256.js';
import { iceServers as findIceServers, iceTransportPolicy } from './signalling.js';

const $ = (id) => document.getElementById(id);

const PIECE = 64 * 1024; // What one message of a file holds.
const READ_AHEAD = 4 * 1024 * 1024; // How much of a file is read at once, and how much of it waits to be sent.
const MAX_TRACE = 500;

// The call under way, if any: { socket, pc, chat, started, over }, where `over` is the signal that it has ended.
let call;
let transferring = false;
// What is sent, if anything: { stream, kind, stop }.
let source;
// What the peer behind the page is for: 'echo', 'play' or 'record'.
let role = 'echo';

const kbits = (value) => value >= 1000 ? `${(value / 1000).toFixed(2)} Mbit/s` : `${value.toFixed(0)} kbit/s`;
const plots = {
  bitrate: new Plot($('plot-bitrate'), 'Received', 100, kbits),
  loss: new Plot($('plot-loss'), 'Packets lost', 2, (value) => `${value.toFixed(1)} %`),
  rtt: new Plot($('plot-rtt'), 'Round trip', 5, (value) => `${value < 1 ? '< 1' : value.toFixed(1)} ms`),
};

/** Tells what happened, with the milliseconds since Start. */
function trace(text, kind = '') {
  const item = document.createElement('li');
  item.className = kind;
  const time = document.createElement('time');
  time.textContent = call ? `${(performance.now() - call.started).toFixed(1)} ms` : '';
  item.append(time, text);
  const list = $('trace');
  list.append(item);
  while (list.children.length > MAX_TRACE) list.firstChild.remove();
  list.scrollTop = list.scrollHeight;
}

function showStates(pc) {
  const states = {
    'signaling-state': pc.signalingState, 'gathering-state': pc.iceGatheringState,
    'ice-state': pc.iceConnectionState, 'connection-state': pc.connectionState, status: pc.connectionState,
  };
  for (const [id, state] of Object.entries(states)) {
    $(id).textContent = state;
    $(id).dataset.state = state;
  }
}

/** Enables what can be used now. */
function showTools() {
  const open = call?.chat.readyState === 'open';
  $('call').disabled = !!call;
  $('hangup').disabled = !call;
  $('start').textContent = source ? 'Stop' : 'Start';
  const [sound] = source?.stream.getAudioTracks() ?? [], [picture] = source?.stream.getVideoTracks() ?? [];
  toggle('mute', sound, sound && !sound.enabled);
  toggle('picture', picture, picture && !picture.enabled);
  $('switch').disabled = source?.kind !== 'camera' || !picture;
  const keys = !!dtmf()?.canInsertDTMF;
  for (const key of $('keys').children) key.disabled = !keys;
  $('chat-input').disabled = $('chat-send').disabled = !open;
  $('file').disabled = !open || transferring;
  $('drop').classList.toggle('off', $('file').disabled);
}

function toggle(id, usable, pressed) {
  $(id).disabled = !usable;
  $(id).setAttribute('aria-pressed', !!pressed);
}

const dtmf = () => call?.pc.getSenders().find((sender) => sender.track?.kind === 'audio')?.dtmf;

/** Gets what is to be sent; a call under way has it from then on. */
async function start() {
  $('start').disabled = true;
  try {
    const opened = await open($('source').value);
    stop();
    source = opened;
    $('media-status').textContent = source.reason ? `${source.reason}. A synthetic picture and tone take its place.` : '';
    if (source.reason) $('source').value = 'synthetic';
    $('local').srcObject = source.stream;
    // A screen that the user stops sharing.
    for (const track of source.stream.getTracks()) track.addEventListener('ended', () => { if (source === opened) stop(); });
    if (call) sendSource(call.pc);
  } finally {
    $('start').disabled = false;
    showTools();
  }
}

/** Sends what there is; where something was sent before, in its place. */
function sendSource(pc) {
  for (const track of source.stream.getTracks()) {
    const used = pc.getTransceivers().find(({ receiver, sender, direction }) =>
      direction !== 'stopped' && receiver.track.kind === track.kind && (!sender.track || sender.track.readyState === 'ended'));
    if (used?.mid && used.direction === 'sendrecv') used.sender.replaceTrack(track).catch((error) => trace(error.message, 'bad'));
    else pc.addTrack(track, source.stream);
  }
}

function stop() {
  source?.stop();
  source = undefined;
  $('local').srcObject = null;
  $('local-info').textContent = '';
  showTools();
}

function connect() {
  hangUp();
  $('trace').replaceChildren();
  for (const id of ['setup-ms', 'pair', 'rtt', 'dtls']) $(id).textContent = '–';
  const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
  const pc = new RTCPeerConnection({ iceTransportPolicy });
  const iceServers = findIceServers();
  const chat = pc.createDataChannel('chat');
  // The Rust peer's own statistics come once a second in a channel of this protocol.
  const remoteStats = pc.createDataChannel('statistics', { protocol: 'stats' });
  const over = new AbortController();
  const mine = call = { socket, pc, chat, started: performance.now(), over: over.signal, end: () => over.abort() };
  // Nothing of a call may touch the page once it is over: another one may be under way by then.
  const { signal } = over;
  const opened = new Promise((resolve) => socket.addEventListener('open', resolve, { once: true, signal }));
  const say = async (message) => {
    await opened;
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  };

  pc.addEventListener('negotiationneeded', async () => {
    try {
      // Gathering begins with the first description.
      if (pc.iceGatheringState === 'new') pc.setConfiguration({ iceServers: await iceServers, iceTransportPolicy });
      await pc.setLocalDescription();
      say({ description: pc.localDescription });
      if (call === mine) trace('offer created');
    } catch (error) {
      if (call === mine) hangUp(`no offer could be made: ${error.message}`, 'bad');
    }
  }, { signal });
  pc.addEventListener('icecandidate', ({ candidate }) => say({ candidate }), { signal });
  for (const [event, state] of [
    ['signalingstatechange', 'signalingState'], ['icegatheringstatechange', 'iceGatheringState'],
    ['iceconnectionstatechange', 'iceConnectionState'], ['connectionstatechange', 'connectionState'],
  ]) {
    pc.addEventListener(event, () => { trace(`${state}: ${pc[state]}`); showStates(pc); }, { signal });
  }
  pc.addEventListener('connectionstatechange', () => {
    if (pc.connectionState === 'connected') showPair(mine);
    if (pc.connectionState === 'failed') hangUp('the connection failed: the Rust peer does not answer any more', 'bad');
  }, { signal });

  socket.addEventListener('message', async ({ data }) => {
    const message = JSON.parse(data);
    try {
      if (message.error) trace(`the Rust peer says: ${message.error}`, 'bad');
      if (message.description) {
        trace(`${message.description.type} received`);
        await pc.setRemoteDescription(message.description);
      }
      if ('candidate' in message) await pc.addIceCandidate(message.candidate ?? undefined);
    } catch (error) {
      if (call === mine) trace(error.message, 'bad');
    }
  }, { signal });
  socket.addEventListener('close', () => {
    if (pc.connectionState === 'connected') trace('signalling closed: the connection needs it no more');
    else hangUp('the program is not there, or closed the signalling: start it, then press Start', 'bad');
  }, { signal });

  chat.addEventListener('open', () => {
    $('setup-ms').textContent = (performance.now() - mine.started).toFixed(1);
    trace('data channel open', 'good');
    showTools();
    if (document.activeElement === document.body) $('chat-input').focus({ preventScroll: true });
  }, { signal });
  chat.addEventListener('message', ({ data }) => addChat('received', data), { signal });
  chat.addEventListener('close', () => hangUp('the Rust peer hung up', 'bad'), { signal });

  const remote = new MediaStream();
  pc.addEventListener('track', ({ track }) => {
    remote.addTrack(track);
    $('remote').srcObject = remote;
    trace(`${track.kind} comes`, 'good');
    track.addEventListener('unmute', () => $('remote').play().catch(() => {}), { signal });
  }, { signal });
  const theirs = new Meter();
  remoteStats.addEventListener('message', ({ data }) => { mine.theirs = theirs.measure(JSON.parse(data)); }, { signal });

  if (source) sendSource(pc);
  else if (role === 'play') for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
  trace('started');
  showStates(pc);
  showTools();
}

function hangUp(reason = 'hung up', kind = '') {
  if (!call) return;
  const { socket, pc, end } = call;
  trace(reason, kind);
  call = undefined;
  end();
  pc.close();
  socket.close();
  $('remote').srcObject = null;
  $('remote-info').textContent = '';
  showStates(pc);
  showTools();
}

/** Shows which way the datagrams take and how many there are, once a second. */
async function showPair(mine) {
  const meter = new Meter();
  for (const plot of Object.values(plots)) plot.clear();
  while (call === mine && mine.pc.connectionState === 'connected') {
    const stats = await mine.pc.getStats();
    if (call !== mine) return;
    const all = [...stats.values()];
    const transport = all.find((s) => s.type === 'transport');
    const pair = stats.get(transport?.selectedCandidatePairId)
      ?? all.find((s) => s.type === 'candidate-pair' && s.selected)
      ?? all.find((s) => s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded');
    if (pair) {
      const local = stats.get(pair.localCandidateId), remote = stats.get(pair.remoteCandidateId);
      $('pair').textContent = `${describeEnd(local)} ↔ ${describeEnd(remote)} (${local?.protocol ?? 'udp'})`;
      // Chromium counts whole milliseconds.
      const rtt = pair.currentRoundTripTime;
      if (rtt !== undefined) $('rtt').textContent = rtt > 0 ? (rtt * 1000).toFixed(1) : '< 1';
    }
    showMedia(meter.measure(all), mine.theirs ?? {});
    const version = transport?.tlsVersion?.toUpperCase();
    if (version) $('dtls').textContent = { FEFD: '1.2', FEFC: '1.3' }[version] ?? version;
    await new Promise((resolve) => setTimeout(resolve, pair ? 1000 : 100));
  }
}

/** One more second of both sides' statistics. */
function showMedia(ours, theirs) {
  for (const [name, plot] of Object.entries(plots)) plot.add({ browser: ours[name], rust: theirs[name] });
  const { videoWidth: width, videoHeight: height } = $('remote');
  const about = [width && `${width} × ${height}`, ours.codec, ours.frames > 0 && `${ours.frames.toFixed(0)} /s`];
  $('remote-info').textContent = about.filter(Boolean).join(' · ');
  const settings = source?.stream.getVideoTracks()[0]?.getSettings();
  $('local-info').textContent = settings?.width ? `${settings.width} × ${settings.height}` : '';
  showTools();
}

function describeEnd(candidate) {
  if (!candidate) return '?';
  // Browsers hide addresses that the page has no business to know.
  const address = candidate.address || candidate.ip || '(hidden)';
  return `${candidate.candidateType} ${address.includes(':') ? `[${address}]` : address}:${candidate.port}`;
}

function addChat(kind, text) {
  const item = document.createElement('li');
  item.className = kind;
  const who = document.createElement('small');
  who.textContent = kind === 'sent' ? 'you' : 'the Rust peer';
  item.append(who, text);
  $('chat-log').append(item);
  $('chat-log').scrollTop = $('chat-log').scrollHeight;
}

const size = (bytes) => bytes < 1024 ? `${bytes} B` : bytes < 1 << 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`;

/** Sends a file over a channel of its own and receives it again. Neither is ever whole in memory. */
async function sendFile(file) {
  if (transferring || call?.chat.readyState !== 'open') return;
  transferring = true;
  showTools();
  const { pc, over } = call;
  const status = $('file-status');
  const tell = (text, kind = '') => { status.textContent = text; status.className = kind; };
  tell(`Sending ${file.name} (${size(file.size)})…`);
  for (const id of ['file-hash-sent', 'file-hash-received', 'file-throughput']) $(id).textContent = '–';

  let sent = 0, received = 0;
  const begun = performance.now();
  const show = () => {
    const seconds = (performance.now() - begun) / 1000;
    $('file-sent').textContent = size(sent);
    $('file-received').textContent = size(received);
    $('file-progress').value = file.size ? (sent + received) / (2 * file.size) : 1;
    if (seconds > 0) $('file-throughput').textContent = `${(received * 8 / 1e6 / seconds).toFixed(1)} Mbit/s each way`;
  };
  const timer = setInterval(show, 100);
  let channel;
  try {
    channel = pc.createDataChannel(`file: ${file.name}`.slice(0, 1000));
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = READ_AHEAD / 2;
    const there = new Sha256(), back = new Sha256();
    // Rejects when nothing more can come, also when this side hangs up: then the channel itself says nothing.
    const lost = new Promise((_, reject) => {
      const fail = () => reject(new Error('the connection ended before the file was back'));
      channel.addEventListener('close', fail);
      over.addEventListener('abort', fail);
    });
    const happens = (event, look) => Promise.race([lost, new Promise((resolve) => {
      channel.addEventListener(event, function listener(e) {
        if (look && !look(e)) return;
        channel.removeEventListener(event, listener);
        resolve();
      });
    })]);
    const returned = happens('message', ({ data }) => {
      back.update(new Uint8Array(data));
      received += data.byteLength;
      return received >= file.size;
    });
    returned.catch(() => {});
    await happens('open');
    const piece = Math.min(PIECE, pc.sctp?.maxMessageSize || PIECE);
    // An empty file is one empty message.
    for (let start = 0; start === 0 || start < file.size; start += READ_AHEAD) {
      const bytes = new Uint8Array(await file.slice(start, start + READ_AHEAD).arrayBuffer());
      for (let at = 0; at === 0 || at < bytes.length; at += piece) {
        if (channel.bufferedAmount > READ_AHEAD) await happens('bufferedamountlow');
        if (channel.readyState !== 'open') await lost;
        const part = bytes.subarray(at, at + piece);
        channel.send(part);
        there.update(part);
        sent += part.length;
      }
    }
    await returned;
    show();
    const [before, after] = [there.hex(), back.hex()];
    $('file-hash-sent').textContent = before;
    $('file-hash-received').textContent = after;
    if (before === after) tell(`${file.name} came back whole: the hashes are equal.`, 'good');
    else tell(`${file.name} came back changed: the hashes differ.`, 'bad');
  } catch (error) {
    show();
    tell(`${file.name}: ${error.message}.`, 'bad');
  } finally {
    clearInterval(timer);
    channel?.close();
    $('file').value = '';
    transferring = false;
    showTools();
  }
}

$('start').onclick = () => source ? stop() : start();
$('source').onchange = () => { if (source) start(); };
$('call').onclick = connect;
for (const [id, kind] of [['mute', 'Audio'], ['picture', 'Video']]) {
  $(id).onclick = () => {
    for (const track of source.stream[`get${kind}Tracks`]()) track.enabled = !track.enabled;
    showTools();
  };
}
$('switch').onclick = async () => {
  const [before] = source.stream.getVideoTracks();
  try {
    const next = await nextCamera(before);
    await call?.pc.getSenders().find(({ track }) => track === before)?.replaceTrack(next);
    source.stream.removeTrack(before);
    source.stream.addTrack(next);
    before.stop();
  } catch (error) {
    $('media-status').textContent = `The camera was not switched: ${error.message}.`;
  }
};
$('sound').onclick = () => {
  $('remote').muted = !$('remote').muted;
  $('sound').setAttribute('aria-pressed', !$('remote').muted);
};
for (const key of '123456789*0#') {
  const button = Object.assign(document.createElement('button'), { type: 'button', className: 'quiet', textContent: key, disabled: true });
  button.onclick = () => {
    dtmf()?.insertDTMF(dtmf().toneBuffer + key);
    trace(`key ${key}`);
  };
  $('keys').append(button);
}
$('hangup').onclick = () => hangUp();
$('chat-form').onsubmit = (event) => {
  event.preventDefault();
  const text = $('chat-input').value;
  if (!text || call?.chat.readyState !== 'open') return;
  try {
    call.chat.send(text);
    addChat('sent', text);
    $('chat-input').value = '';
  } catch (error) {
    trace(`not sent: ${error.message}`, 'bad');
  }
};
$('file').onchange = () => { const [file] = $('file').files; if (file) sendFile(file); };
const drop = $('drop');
for (const event of ['dragover', 'dragleave', 'drop']) {
  drop.addEventListener(event, (e) => {
    e.preventDefault();
    drop.classList.toggle('over', event === 'dragover' && !$('file').disabled);
    if (event === 'drop' && e.dataTransfer.files[0]) sendFile(e.dataTransfer.files[0]);
  });
}
addEventListener('pagehide', () => hangUp());
addEventListener('pageshow', (event) => { if (event.persisted) connect(); });
if (!navigator.mediaDevices?.getDisplayMedia) $('source').querySelector('[value=screen]').disabled = true;
fetch('/about.json').then((response) => response.json()).then((about) => {
  role = about.role;
  $('more').hidden = role !== 'echo';
  $('media-hint').textContent = about.text;
}).catch(() => {}).finally(connect);
