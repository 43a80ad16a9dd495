// A file from one side directly to the other: what `crates/cli/src/transfer` is for terminals, for pages. Who sends, offers; the receiver
// asks for a connection each time that there is none. See `protocol.rs` there for what is said on the channel.
import { Sha256 } from './sha256.js';
import { Signalling, iceServers, iceTransportPolicy, random } from './signalling.js';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const LENGTH = 20;
const PROTOCOL = 'peerline-file';
const PIECE = 64 * 1024;
const READ_AHEAD = 4 * 1024 * 1024; // Of a file, and of what waits to be sent.
const WINDOW = 32 * 1024 * 1024; // How much may be under way that the receiver has not written.
const STEP = 4 * 1024 * 1024; // How often the receiver tells how far it is.
const PATIENCE = 20_000; // How long a connection may take to come up.
const ATTEMPTS = 3;

const utf8 = new TextEncoder();
const hexBytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** HMAC (RFC 2104) with SHA-256; crypto.subtle exists on secure origins alone. */
function hmac(key, ...parts) {
  // No key here is longer than a block.
  const pad = (byte) => Uint8Array.from({ length: 64 }, (_, i) => (key[i] ?? 0) ^ byte);
  const inner = new Sha256().update(pad(0x36));
  for (const part of parts) inner.update(part);
  return new Sha256().update(pad(0x5c)).update(hexBytes(inner.hex())).hex();
}

/** What both sides know, and nobody else: 100 random bits. */
export class Code {
  #text;

  constructor(text) {
    const typed = text.toUpperCase().replace(/[-\s]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1');
    if (typed.length !== LENGTH || [...typed].some((c) => !ALPHABET.includes(c))) throw new Error('this is no code: it is not complete');
    this.#text = typed;
  }

  static random() {
    return new Code(Array.from(crypto.getRandomValues(new Uint8Array(LENGTH)), (byte) => ALPHABET[byte % 32]).join(''));
  }

  get room() {
    return this.#mac('room').slice(0, 32);
  }

  proof(side, attempt, { type, sdp }) {
    return this.#mac('description', side, attempt, type, sdp);
  }

  toString() {
    return this.#text.match(/.{5}/g).join('-');
  }

  #mac(...parts) {
    return hmac(utf8.encode(this.#text), ...['peerline transfer 1', ...parts].map((part) => utf8.encode(`${part}\0`)));
  }
}

/** What no other connection would change. */
class Final extends Error {}

/**
 * One side of a transfer. `work(channel)` sends or receives over one connection: it resolves when the file is there, and rejects with what
 * is wrong; if the channel has closed by then, it is called again with another one. Events: 'state' (`detail` says it in words).
 */
export class Transfer extends EventTarget {
  #code;
  #side;
  #work;
  #signalling;
  #handling = Promise.resolve();
  #link; // { attempt, pc, busy, timer }
  #failures = 0;
  #done;
  #finish;
  #fail;

  constructor(code, side, work) {
    super();
    this.#code = code;
    this.#side = side;
    this.#work = work;
  }

  /** Joins the room of the code, which has to be there unless `create`, and resolves when the file is there. */
  async run(create) {
    const transport = new URLSearchParams(location.search).get('signalling') ?? undefined;
    const signalling = this.#signalling = new Signalling(this.#code.room, { create, transport });
    this.#done = new Promise((resolve, reject) => { this.#finish = resolve; this.#fail = reject; });
    this.#done.catch(() => {});
    const on = (type, listener) => signalling.addEventListener(type, ({ detail }) => {
      this.#handling = this.#handling.then(() => listener(detail)).catch((error) => {
        if (error instanceof Final) this.#fail(error);
        else console.warn(error);
      });
    });
    on('arrived', () => signalling.say({ role: this.#side }));
    on('message', (word) => this.#hear(word));
    for (const event of ['left', 'lost']) {
      on(event, () => { if (!this.#link?.busy) this.#tell('The other side has gone. Waiting for it to come back…'); });
    }
    on('refused', (error) => { if (!this.#link) throw new Final(error.message); });
    try {
      await signalling.join();
      return await this.#done;
    } finally {
      signalling.leave();
      this.#retire();
    }
  }

  cancel() {
    this.#fail?.(new Final('cancelled'));
  }

  #tell(text) {
    this.dispatchEvent(new CustomEvent('state', { detail: text }));
  }

  async #hear({ role, ready, attempt, description, candidate, proof }) {
    if (role === this.#side) throw new Final(`the other side wants to ${role === 'sender' ? 'send' : 'receive'} as well`);
    if (role) {
      if (!this.#link?.busy) this.#again();
    } else if (ready && this.#side === 'sender') {
      await this.#connect(ready);
    } else if (description && attempt === this.#link?.attempt) {
      const other = this.#side === 'sender' ? 'receiver' : 'sender';
      if (proof !== this.#code.proof(other, attempt, description)) {
        throw new Final('the other side does not know the code, or the server in between has changed what it said');
      }
      if (description.type === 'offer' && !this.#link.pc) await this.#answer(description);
      else if (description.type === 'answer' && this.#link.pc?.signalingState === 'have-local-offer') await this.#link.pc.setRemoteDescription(description);
    } else if (candidate !== undefined && attempt === this.#link?.attempt) {
      await this.#link.pc?.addIceCandidate(candidate ?? undefined);
    }
  }

  /** The receiver asks for a connection. */
  #again() {
    this.#retire();
    if (this.#side !== 'receiver') return;
    const attempt = random(64);
    this.#begin(attempt);
    this.#signalling.say({ ready: attempt });
  }

  #begin(attempt) {
    this.#tell('Connecting…');
    const link = this.#link = { attempt };
    link.timer = setTimeout(() => {
      if (link !== this.#link || link.pc?.connectionState === 'connected') return;
      if (++this.#failures >= ATTEMPTS) this.#fail(new Final('no connection to the other side comes up'));
      else this.#again();
    }, PATIENCE);
    return link;
  }

  async #connection(link) {
    const servers = await iceServers();
    if (link !== this.#link) return undefined;
    const pc = link.pc = new RTCPeerConnection({ iceServers: servers, iceTransportPolicy });
    pc.addEventListener('icecandidate', ({ candidate }) => {
      if (link === this.#link) this.#signalling.say({ attempt: link.attempt, candidate });
    });
    pc.addEventListener('connectionstatechange', () => {
      if (link === this.#link && pc.connectionState === 'failed') this.#lost(link);
    });
    return pc;
  }

  async #connect(attempt) {
    this.#retire();
    const link = this.#begin(attempt);
    const pc = await this.#connection(link);
    if (!pc) return;
    this.#serve(link, pc.createDataChannel('file', { protocol: PROTOCOL }));
    await pc.setLocalDescription();
    this.#describe(link);
  }

  async #answer(offer) {
    const link = this.#link;
    const pc = await this.#connection(link);
    if (!pc) return;
    pc.addEventListener('datachannel', ({ channel }) => {
      if (link === this.#link && channel.protocol === PROTOCOL && !link.busy) this.#serve(link, channel);
    });
    await pc.setRemoteDescription(offer);
    await pc.setLocalDescription();
    this.#describe(link);
  }

  #describe(link) {
    const { type, sdp } = link.pc.localDescription;
    const description = { type, sdp };
    this.#signalling.say({ attempt: link.attempt, description, proof: this.#code.proof(this.#side, link.attempt, description) });
  }

  async #serve(link, channel) {
    link.busy = true;
    link.channel = new Channel(channel);
    try {
      const outcome = await this.#work(link.channel);
      this.#finish(outcome);
    } catch (error) {
      if (link !== this.#link) return;
      if (error instanceof Lost) this.#lost(link);
      else this.#fail(error);
    }
  }

  #lost(link) {
    if (link !== this.#link) return;
    this.#tell('The connection is lost. Making another one…');
    this.#again();
  }

  #retire() {
    const link = this.#link;
    this.#link = undefined;
    clearTimeout(link?.timer);
    link?.channel?.end();
    link?.pc?.close();
  }
}

/** The connection ended. */
class Lost extends Error {}

/** A data channel that is read message by message, and written no faster than it sends. */
class Channel {
  #channel;
  #queue = [];
  #waiting;
  #opened;
  #over = false;

  constructor(channel) {
    this.#channel = channel;
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = READ_AHEAD / 2;
    channel.addEventListener('message', ({ data }) => {
      this.#queue.push(data);
      this.#waiting?.();
    });
    channel.addEventListener('close', () => this.end());
    this.#opened = channel.readyState === 'open' ? Promise.resolve()
      : new Promise((resolve) => { for (const event of ['open', 'close']) channel.addEventListener(event, resolve, { once: true }); });
  }

  /** Nothing comes any more. */
  end() {
    this.#over = true;
    this.#waiting?.();
  }

  async opened() {
    await this.#opened;
    if (this.#channel.readyState !== 'open') throw new Lost('the channel did not open');
  }

  /** The next message: an ArrayBuffer, or what its JSON says. */
  async receive() {
    while (!this.#queue.length) {
      if (this.#over) throw new Lost('the connection ended');
      await new Promise((resolve) => { this.#waiting = resolve; });
    }
    const data = this.#queue.shift();
    return typeof data === 'string' ? JSON.parse(data) : data;
  }

  /** What came already, without waiting. */
  get hasMessage() {
    return this.#queue.length > 0;
  }

  async send(data) {
    const channel = this.#channel;
    if (channel.bufferedAmount > READ_AHEAD) {
      await new Promise((resolve) => {
        for (const event of ['bufferedamountlow', 'close']) channel.addEventListener(event, resolve, { once: true });
        if (this.#over) resolve();
      });
    }
    if (this.#over || channel.readyState !== 'open') throw new Lost('the connection ended');
    channel.send(data instanceof Uint8Array ? data : JSON.stringify(data));
  }

  /** Waits until the other side has heard all and ended the connection, though not for long. */
  closed() {
    return new Promise((resolve) => {
      this.#channel.addEventListener('close', resolve);
      if (this.#over) resolve();
      setTimeout(resolve, 2000);
    });
  }
}

const shown = (text) => String(text).replace(/[\u0000-\u001f]/g, ' ').slice(0, 300);
const refused = (message) => new Final(message?.refuse ? `the other side does not take it: ${shown(message.refuse.why)}`
  : message?.abort ? `the other side cannot go on: ${shown(message.abort.why)}` : 'the other side speaks another language: is it the same version?');

/** Sends a file; `progress(done, from)` hears how far it is. Gives its SHA-256. */
export const sender = (file, progress) => async (channel) => {
  await channel.opened();
  await channel.send({ file: { name: file.name, size: file.size } });
  const { want, ...other } = await channel.receive();
  if (!want || !(want.from >= 0 && want.from <= file.size)) throw refused(other);
  let hash = new Sha256(), from = want.from;
  for (let at = 0; at < from; at += READ_AHEAD) hash.update(await read(file, at, Math.min(at + READ_AHEAD, from)));
  if (from && hash.clone().hex() !== want.sha256) from = 0;
  if (!from) hash = new Sha256();
  await channel.send({ begin: { from } });
  let written = from;
  const hear = async () => {
    const message = await channel.receive();
    if (!message.got) return message;
    written = message.got.to;
    return undefined;
  };
  for (let start = from; start < file.size; start += READ_AHEAD) {
    const bytes = await read(file, start, start + READ_AHEAD);
    hash.update(bytes);
    for (let at = 0; at < bytes.length; at += PIECE) {
      while (channel.hasMessage || start + at > written + WINDOW) {
        const message = await hear();
        if (message) throw refused(message);
      }
      await channel.send(bytes.subarray(at, at + PIECE));
      progress(start + Math.min(at + PIECE, bytes.length), from);
    }
  }
  const sha256 = hash.hex();
  await channel.send({ end: { sha256 } });
  let message;
  while (!message) message = await hear();
  if (message.received?.sha256 !== sha256) throw refused(message);
  return { sha256 };
};

async function read(file, from, to) {
  try {
    return new Uint8Array(await file.slice(from, to).arrayBuffer());
  } catch (error) {
    throw new Final(`the file cannot be read any more: ${error.message}`);
  }
}

/**
 * Receives a file. `offered(name, size)` gives the store for it once the user has agreed: `{ write(bytes), truncate(), close() }`.
 * What was written stays when the connection breaks, and the next one goes on there.
 */
export const receiver = (offered, progress) => {
  let store, hash = new Sha256(), length = 0;
  return async (channel) => {
    const { file, ...other } = await channel.receive();
    if (!file) throw refused(other);
    store ??= await offered(file.name, file.size);
    await channel.send({ want: { from: length, sha256: hash.clone().hex() } });
    const { begin, ...instead } = await channel.receive();
    if (!begin || begin.from !== length && begin.from !== 0) throw refused(instead);
    if (begin.from !== length) {
      await store.truncate();
      hash = new Sha256();
      length = 0;
    }
    const from = length;
    let told = length;
    for (;;) {
      const message = await channel.receive();
      if (message instanceof ArrayBuffer) {
        const bytes = new Uint8Array(message);
        if (length + bytes.length > file.size) throw refused();
        try {
          await store.write(bytes);
        } catch (error) {
          const why = `it cannot be written: ${error.message}`;
          await channel.send({ refuse: { why } }).catch(() => {});
          throw new Final(why);
        }
        hash.update(bytes);
        length += bytes.length;
        progress(length, from);
        if (length >= told + STEP) {
          told = length;
          await channel.send({ got: { to: told } });
        }
      } else if (message.end && length === file.size) {
        const sha256 = hash.clone().hex();
        if (message.end.sha256 !== sha256) {
          await channel.send({ refuse: { why: 'what came is not what was sent' } });
          throw new Final('what came is not what was sent: the hashes differ');
        }
        await store.close();
        await channel.send({ received: { sha256 } });
        await channel.closed();
        return { sha256, name: file.name };
      } else {
        throw refused(message);
      }
    }
  };
};
