// The page of a room. `?signalling=ws`, `sse` or `poll` keeps to one way of signalling, `?relay` to relays.
import { Call } from './call.js';
import { nextCamera, open } from './media.js';
import { random } from './signalling.js';

const $ = (id) => document.getElementById(id);
const MAX_TRACE = 300;

const room = decodeURIComponent(location.pathname.slice('/r/'.length));
// Without a name, one that nobody guesses.
if (!room) location.replace(`/r/${random(64)}${location.search}`);

// What is sent, if anything: { stream, kind, stop }; and the call, once joined.
let source, call;

const NOTICES = {
  new: 'Join, and send the link to whom you want to meet.',
  waiting: 'Nobody else is here yet. Send the link to whom you want to meet.',
  connecting: 'The other one is here. Connecting…',
  connected: '',
  disconnected: 'The connection is interrupted. It is tried again…',
  failed: 'The connection is lost. Another way is looked for…',
};

function show() {
  const state = call?.state ?? 'new';
  const shown = state === 'closed' ? 'waiting' : state;
  $('status').textContent = { new: 'not joined', refused: 'not let in' }[shown] ?? shown;
  $('status').dataset.state = shown;
  if (shown !== 'refused') notice(NOTICES[shown] ?? NOTICES.connecting);
  else notice(`You are not in the room: ${call.refusal}.`);
  $('join').disabled = !!call;
  $('leave').disabled = !call;
  if (!call?.pc) {
    $('remote').srcObject = null;
    $('path').textContent = '–';
    $('path').dataset.kind = '';
  }
  const [sound] = source?.stream.getAudioTracks() ?? [], [picture] = source?.stream.getVideoTracks() ?? [];
  toggle('mute', sound);
  toggle('picture', picture);
  $('switch').disabled = source?.kind !== 'camera' || !picture;
  $('chat-input').disabled = $('chat-send').disabled = call?.chat?.readyState !== 'open';
}

function toggle(id, track) {
  $(id).disabled = !track;
  $(id).setAttribute('aria-pressed', !!track && !track.enabled);
}

function notice(text) {
  if ($('notice').textContent !== text) $('notice').textContent = text;
}

function trace(text) {
  const item = document.createElement('li');
  const time = document.createElement('time');
  time.textContent = new Date().toLocaleTimeString('en-GB');
  item.append(time, text);
  $('trace').append(item);
  while ($('trace').children.length > MAX_TRACE) $('trace').firstChild.remove();
}

/** Gets what is to be sent; a call under way has it from then on. */
async function start() {
  if (!navigator.mediaDevices && $('source').value !== 'synthetic') {
    $('source').value = 'synthetic';
    $('media-status').textContent = 'Browsers give cameras only to pages with https, and on localhost: a synthetic picture takes its place.';
  }
  const opened = await open($('source').value);
  stop();
  source = opened;
  if (source.reason) $('media-status').textContent = `${source.reason}. A synthetic picture and tone take its place.`;
  $('source').value = source.kind;
  $('local').srcObject = source.stream;
  $('local').classList.toggle('mirrored', source.kind === 'camera');
  // A screen that the user stops sharing.
  for (const track of source.stream.getTracks()) {
    track.addEventListener('ended', () => {
      if (source !== opened) return;
      $('source').value = 'camera';
      if (call) start();
    });
  }
  call?.send(source.stream);
  show();
}

function stop() {
  source?.stop();
  source = undefined;
  $('local').srcObject = null;
}

async function join() {
  $('join').disabled = true;
  $('media-status').textContent = '';
  try {
    await start();
    const mine = call = new Call(room, new URLSearchParams(location.search).get('signalling') ?? undefined);
    const remote = new MediaStream();
    const on = (type, listener) => mine.addEventListener(type, ({ detail }) => { if (mine === call) listener(detail); });
    on('state', show);
    on('trace', trace);
    on('message', (text) => addChat('received', text));
    on('track', (track) => {
      for (const old of remote.getTracks()) if (old.kind === track.kind) remote.removeTrack(old);
      remote.addTrack(track);
      $('remote').srcObject = remote;
      $('remote').play().catch(() => {});
    });
    await mine.join(source.stream);
  } catch (error) {
    leave();
    $('status').textContent = error.status === 409 ? 'the room is full' : 'not let in';
    $('status').dataset.state = 'refused';
    notice(error.status ? `You are not in the room: ${error.message}.` : `The server cannot be reached: ${error.message}.`);
    return;
  }
  show();
}

function leave() {
  call?.leave();
  call = undefined;
  stop();
  show();
}

function addChat(kind, text) {
  const item = document.createElement('li');
  item.className = kind;
  const who = document.createElement('small');
  who.textContent = kind === 'sent' ? 'you' : 'the other one';
  item.append(who, text);
  $('chat-log').append(item);
  $('chat-log').scrollTop = $('chat-log').scrollHeight;
}

/** Tells whether the path is direct, once a second. */
async function watchPath() {
  const watched = call;
  const found = await watched?.path().catch(() => {});
  if (found && watched === call) {
    $('path').textContent = found.text;
    $('path').dataset.kind = found.relayed ? 'relayed' : 'direct';
  }
  setTimeout(watchPath, 1000);
}

$('room').textContent = room;
$('join').onclick = join;
$('leave').onclick = leave;
$('source').onchange = () => { if (call) start(); };
$('copy').onclick = async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    $('copy').textContent = 'Copied';
    setTimeout(() => { $('copy').textContent = 'Copy link'; }, 2000);
  } catch {
    prompt('The link to this room:', location.href);
  }
};
for (const [id, kind] of [['mute', 'Audio'], ['picture', 'Video']]) {
  $(id).onclick = () => {
    for (const track of source.stream[`get${kind}Tracks`]()) track.enabled = !track.enabled;
    show();
  };
}
$('switch').onclick = async () => {
  const [before] = source.stream.getVideoTracks();
  try {
    const next = await nextCamera(before);
    await call?.pc?.getSenders().find(({ track }) => track === before)?.replaceTrack(next);
    source.stream.removeTrack(before);
    source.stream.addTrack(next);
    before.stop();
  } catch (error) {
    $('media-status').textContent = `The camera was not switched: ${error.message}.`;
  }
};
$('chat-form').onsubmit = (event) => {
  event.preventDefault();
  const text = $('chat-input').value;
  if (!text || call?.chat?.readyState !== 'open') return;
  try {
    call.chat.send(text);
    addChat('sent', text);
    $('chat-input').value = '';
  } catch (error) {
    trace(`not sent: ${error.message}`);
  }
};
if (!navigator.mediaDevices?.getDisplayMedia) $('source').querySelector('[value=screen]').disabled = true;
addEventListener('pagehide', () => call?.leave());
addEventListener('pageshow', (event) => { if (event.persisted) leave(); });
watchPath();
