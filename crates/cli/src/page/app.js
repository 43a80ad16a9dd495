// The page's side of the conversation: signalling over a WebSocket, a chat channel, and a channel per file.
const $ = (id) => document.getElementById(id);

let call; // The call under way, if any: { socket, pc, chat, started }.

function trace(text) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  time.textContent = call ? `${(performance.now() - call.started).toFixed(1)} ms` : '';
  item.append(time, text);
  $('trace').append(item);
  $('trace').scrollTop = $('trace').scrollHeight;
}

function showStates(pc) {
  $('signaling-state').textContent = pc.signalingState;
  $('gathering-state').textContent = pc.iceGatheringState;
  $('ice-state').textContent = pc.iceConnectionState;
  $('connection-state').textContent = pc.connectionState;
  $('status').textContent = pc.connectionState;
  $('status').dataset.state = pc.connectionState;
}

function enableTools(open) {
  for (const id of ['chat-input', 'chat-send', 'file']) $(id).disabled = !open;
}

function start() {
  hangUp();
  $('trace').replaceChildren();
  $('setup-ms').textContent = $('pair').textContent = $('rtt').textContent = $('dtls').textContent = '–';
  const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
  const pc = new RTCPeerConnection();
  const chat = pc.createDataChannel('chat');
  const mine = call = { socket, pc, chat, started: performance.now() };
  const opened = new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
  const signal = async (message) => { await opened; if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message)); };

  pc.onnegotiationneeded = async () => {
    try {
      await pc.setLocalDescription();
      trace('offer sent');
      signal({ description: pc.localDescription });
    } catch (error) {
      trace(`cannot offer: ${error.message}`);
    }
  };
  pc.onicecandidate = ({ candidate }) => signal({ candidate });
  for (const [event, state] of [
    ['signalingstatechange', 'signalingState'], ['icegatheringstatechange', 'iceGatheringState'],
    ['iceconnectionstatechange', 'iceConnectionState'], ['connectionstatechange', 'connectionState'],
  ]) {
    pc.addEventListener(event, () => { trace(`${state}: ${pc[state]}`); showStates(pc); });
  }
  pc.addEventListener('connectionstatechange', () => {
    if (pc.connectionState === 'connected') showPair(mine);
    if (pc.connectionState === 'failed') hangUp('The connection failed: the Rust peer does not answer any more.');
  });

  socket.onmessage = async ({ data }) => {
    const message = JSON.parse(data);
    try {
      if (message.error) trace(`the server says: ${message.error}`);
      if (message.description) {
        trace(`${message.description.type} received`);
        await pc.setRemoteDescription(message.description);
      }
      if ('candidate' in message) await pc.addIceCandidate(message.candidate ?? undefined);
    } catch (error) {
      trace(error.message);
    }
  };
  socket.onclose = () => { if (call === mine && pc.connectionState !== 'connected') hangUp('The signalling connection was closed.'); };

  chat.onopen = () => {
    $('setup-ms').textContent = (performance.now() - mine.started).toFixed(1);
    trace('data channel open');
    enableTools(true);
    $('chat-input').focus();
  };
  chat.onmessage = ({ data }) => addChat('received', data);
  chat.onclose = () => { if (call === mine) hangUp('The Rust peer hung up.'); };

  $('start').disabled = true;
  $('hangup').disabled = false;
  trace('started');
  showStates(pc);
}

function hangUp(reason = 'hung up') {
  if (!call) return;
  const { socket, pc } = call;
  trace(reason);
  call = undefined;
  pc.close();
  socket.close();
  showStates(pc);
  enableTools(false);
  $('start').disabled = false;
  $('hangup').disabled = true;
}

async function showPair(mine) {
  while (call === mine) {
    const stats = await mine.pc.getStats();
    const all = [...stats.values()];
    const transport = all.find((s) => s.type === 'transport');
    const pair = transport ? stats.get(transport.selectedCandidatePairId)
      : all.find((s) => s.type === 'candidate-pair' && s.nominated && s.state === 'succeeded');
    if (pair) {
      const end = (id) => { const c = stats.get(id); return c ? `${c.candidateType} ${c.address ?? 'hidden'}:${c.port}` : '?'; };
      $('pair').textContent = `${end(pair.localCandidateId)} ↔ ${end(pair.remoteCandidateId)} (udp)`;
      if (pair.currentRoundTripTime !== undefined) $('rtt').textContent = (pair.currentRoundTripTime * 1000).toFixed(1);
    }
    const versions = { FEFD: '1.2', FEFC: '1.3' };
    if (transport?.tlsVersion) $('dtls').textContent = versions[transport.tlsVersion.toUpperCase()] ?? transport.tlsVersion;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
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

const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const size = (bytes) => bytes < 1 << 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`;

/** Sends the file over a channel of its own, in order, and gathers what comes back. */
async function sendFile(file) {
  const { pc } = call;
  const status = $('file-status');
  status.className = '';
  status.textContent = `Sending ${file.name} (${size(file.size)})…`;
  $('file').disabled = true;
  $('file-hash-sent').textContent = $('file-hash-received').textContent = $('file-throughput').textContent = '–';
  const channel = pc.createDataChannel(`file: ${file.name}`);
  channel.binaryType = 'arraybuffer';
  channel.bufferedAmountLowThreshold = 512 * 1024;
  const chunk = Math.min(64 * 1024, pc.sctp?.maxMessageSize || 64 * 1024);
  const back = [];
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
  try {
    await new Promise((resolve, reject) => { channel.onopen = resolve; channel.onerror = channel.onclose = () => reject(new Error('the channel was closed')); });
    const returned = new Promise((resolve, reject) => {
      channel.onmessage = ({ data }) => { back.push(data); received += data.byteLength; if (received >= file.size) resolve(); };
      channel.onclose = channel.onerror = () => reject(new Error('the channel was closed in mid-file'));
      if (file.size === 0) resolve();
    });
    returned.catch(() => {});
    const bytes = await file.arrayBuffer();
    for (let offset = 0; offset < bytes.byteLength; offset += chunk) {
      if (channel.readyState !== 'open') break;
      if (channel.bufferedAmount > 4 * 1024 * 1024) {
        await new Promise((resolve) => {
          for (const event of ['bufferedamountlow', 'close']) channel.addEventListener(event, resolve, { once: true });
        });
      }
      channel.send(bytes.slice(offset, offset + chunk));
      sent = Math.min(offset + chunk, bytes.byteLength);
    }
    await returned;
    show();
    const [there, here] = await Promise.all([
      crypto.subtle.digest('SHA-256', bytes), new Blob(back).arrayBuffer().then((b) => crypto.subtle.digest('SHA-256', b)),
    ]);
    $('file-hash-sent').textContent = hex(there);
    $('file-hash-received').textContent = hex(here);
    const equal = hex(there) === hex(here);
    status.textContent = equal ? `${file.name} came back whole: the hashes are equal.` : `${file.name} came back changed: the hashes differ.`;
    status.className = equal ? 'good' : 'bad';
  } catch (error) {
    status.textContent = `${file.name}: ${error.message}.`;
    status.className = 'bad';
  } finally {
    clearInterval(timer);
    channel.onclose = null;
    channel.close();
    $('file').value = '';
    $('file').disabled = !call;
  }
}

$('start').onclick = start;
$('hangup').onclick = () => hangUp();
$('chat-form').onsubmit = (event) => {
  event.preventDefault();
  const text = $('chat-input').value;
  if (!text || call?.chat.readyState !== 'open') return;
  call.chat.send(text);
  addChat('sent', text);
  $('chat-input').value = '';
};
$('file').onchange = () => { const [file] = $('file').files; if (file && call) sendFile(file); };
const drop = $('drop');
for (const event of ['dragover', 'dragleave', 'drop']) {
  drop.addEventListener(event, (e) => {
    e.preventDefault();
    drop.classList.toggle('over', event === 'dragover');
    if (event === 'drop' && call && !$('file').disabled && e.dataTransfer.files[0]) sendFile(e.dataTransfer.files[0]);
  });
}
addEventListener('pagehide', () => hangUp());
start();
