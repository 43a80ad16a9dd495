// The page for one file: `/send` sends, `/receive` receives. The code of a side that waits is behind the `#`, which no server sees.
// `?store=disk` or `memory` keeps to one way of storing.
import { Code, Transfer, receiver, sender } from './transfer.js';

const $ = (id) => document.getElementById(id);
const FLUSH = 8 * 1024 * 1024; // Pieces become one blob: browsers put large ones on disk.

const DAY = 86_400_000;

const sends = location.pathname.endsWith('/send');
const amount = (bytes) => bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
const tell = (text, kind = '') => { $('file-status').textContent = text; $('file-status').className = kind; };

/** Shows how far it is: ten times a second is enough. */
function meter(name, size) {
  let begun, due = 0;
  return (done, from) => {
    const now = performance.now();
    begun ??= now;
    if (now < due && done < size) return;
    due = now + 100;
    $('file-progress').value = size ? done / size : 1;
    const rate = (done - from) / Math.max(now - begun, 1) * 1000;
    tell(`${name}: ${(size ? done / size * 100 : 100).toFixed(0)} % of ${amount(size)}, ${(rate * 8 / 1e6).toFixed(0)} Mbit/s`);
  };
}

async function run(transfer, create, done) {
  const end = () => transfer.cancel();
  addEventListener('pagehide', end);
  transfer.addEventListener('state', ({ detail }) => tell(detail));
  try {
    const outcome = await transfer.run(create);
    $('file-progress').value = 1;
    $('hash').textContent = outcome.sha256;
    done(outcome);
  } catch (error) {
    tell(error.status === 404 ? 'Nobody is there with this code: is the other side running, and is the code right?'
      : error.status === 409 ? 'Somebody else has this code already.' : `It did not work: ${error.message}.`, 'bad');
  } finally {
    removeEventListener('pagehide', end);
    $('file').disabled = false;
  }
}

/** Sends to who waits with the code of this page; without one, to who comes with a new one. */
function send(file) {
  $('file').disabled = true;
  const given = location.hash.slice(1);
  let code;
  try {
    code = given ? new Code(given) : Code.random();
  } catch (error) {
    tell(`${error.message}.`, 'bad');
    return;
  }
  if (!given) {
    const host = location.protocol === 'https:' ? location.origin : location.host;
    $('link').href = $('link').textContent = `${location.origin}/receive#${code}`;
    $('command').textContent = `peerline receive ${code}@${host}`;
    $('invitation').hidden = false;
  }
  tell(`${file.name} (${amount(file.size)}) waits for the other side…`);
  const transfer = new Transfer(code, 'sender', sender(file, meter(file.name, file.size)));
  run(transfer, !given, () => tell(`${file.name} is there: the hashes are equal.`, 'good'));
}

/** Receives from who has shown this code. */
function receive(text) {
  let code;
  try {
    // What is typed may say where to meet as well: that is here.
    code = new Code(text.split('#').at(-1).split('@')[0]);
  } catch (error) {
    $('enter').hidden = false;
    tell(`${error.message}.`, 'bad');
    return;
  }
  $('enter').hidden = true;
  tell('Looking for the other side…');
  let store, progress;
  const offered = async (name, size) => {
    $('name').textContent = name;
    $('size').textContent = amount(size);
    $('offer').hidden = false;
    tell('The other side is here. Do you want this file?');
    store = await new Promise((resolve, reject) => {
      $('accept').onclick = async () => {
        $('accept').disabled = true;
        open(name, size).then(resolve, (error) => {
          if (error.name !== 'AbortError') return reject(error);
          $('accept').disabled = false;
        });
      };
    });
    $('accept').hidden = true;
    progress = meter(name, size);
    return store;
  };
  const transfer = new Transfer(code, 'receiver', receiver(offered, (...all) => progress(...all)));
  run(transfer, false, async ({ name }) => {
    const file = await store.file();
    tell(`${name} is here: the hashes are equal.${file ? '' : ' It lies where you wanted it.'}`, 'good');
    if (!file) return;
    $('download').href = URL.createObjectURL(file);
    $('download').download = name;
    $('save').hidden = false;
  });
}

/** Where the file goes: to where the user wants it, to the browser's own part of the disk, or to a blob. */
async function open(name, size) {
  const wish = new URLSearchParams(location.search).get('store');
  if (!wish && window.showSaveFilePicker) {
    try {
      return stream(await showSaveFilePicker({ suggestedName: name }), () => undefined);
    } catch (error) {
      if (error.name === 'AbortError') throw error;
    }
  }
  if (wish !== 'memory' && navigator.storage?.getDirectory) {
    try {
      const { quota, usage } = await navigator.storage.estimate();
      if (size > quota - usage) throw new Error('there is not so much room');
      const folder = await navigator.storage.getDirectory();
      // What was received days ago was saved, or nobody wanted it.
      const isOld = (old) => Number(old.split('-')[1]) < Date.now() - DAY;
      for await (const old of folder.keys()) if (isOld(old)) await folder.removeEntry(old).catch(() => {});
      const handle = await folder.getFileHandle(`received-${Date.now()}`, { create: true });
      return await stream(handle, () => handle.getFile());
    } catch (error) {
      if (wish === 'disk') throw error;
    }
  }
  return memory();
}

async function stream(handle, file) {
  const writable = await handle.createWritable();
  let held = [], length = 0;
  const flush = async () => {
    if (length) await writable.write(new Blob(held));
    held = [];
    length = 0;
  };
  return {
    async write(bytes) {
      held.push(bytes);
      length += bytes.length;
      if (length >= FLUSH) await flush();
    },
    async truncate() {
      held = [];
      length = 0;
      await writable.truncate(0);
      await writable.seek(0);
    },
    async close() {
      await flush();
      await writable.close();
    },
    file,
  };
}

function memory() {
  let blobs = [], held = [], length = 0;
  const flush = () => {
    if (length) blobs.push(new Blob(held));
    held = [];
    length = 0;
  };
  return {
    async write(bytes) {
      held.push(bytes);
      length += bytes.length;
      if (length >= FLUSH) flush();
    },
    async truncate() {
      blobs = [];
      held = [];
      length = 0;
    },
    async close() {
      flush();
    },
    file: () => new Blob(blobs),
  };
}

document.title = `${sends ? 'Send' : 'Receive'} a file · Peerline`;
$('title').textContent = sends ? 'Send a file' : 'Receive a file';
if (sends) {
  $('drop').hidden = false;
  $('file').onchange = () => { const [file] = $('file').files; if (file) send(file); };
  for (const event of ['dragover', 'dragleave', 'drop']) {
    $('drop').addEventListener(event, (e) => {
      e.preventDefault();
      $('drop').classList.toggle('over', event === 'dragover' && !$('file').disabled);
      if (event === 'drop' && e.dataTransfer.files[0] && !$('file').disabled) send(e.dataTransfer.files[0]);
    });
  }
} else if (location.hash) {
  receive(location.hash);
} else {
  $('enter').hidden = false;
  $('enter').onsubmit = (event) => { event.preventDefault(); receive($('code').value); };
}
addEventListener('hashchange', () => location.reload());
