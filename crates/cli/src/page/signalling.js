// Signalling between two pages by way of the server: what one says in a room, the other hears. By a WebSocket; where that does not
// come through, by server-sent events; and where those are held back on the way, by requests that wait for an answer.

const TRANSPORTS = ['ws', 'sse', 'poll'];
const OPEN = 1; // A WebSocket's state.
const OPENING = 5000; // How long a transport may take until it is given up for the next one.
const SILENCE = 40_000; // The server says something every 15 seconds.
const PAUSES = [200, 500, 1000, 2000, 4000]; // Between attempts, in milliseconds.

const json = { 'Content-Type': 'application/json' };

/** What the server refused, as it says it, and its status. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/**
 * A place in a room. Events, until `leave`: 'arrived' and 'left' (the other one did; 'lost' when it just went silent), 'message'
 * (`detail` is what it said), 'up' (`detail` is the transport) and 'down', and 'refused' when the way back in is closed.
 */
export class Signalling extends EventTarget {
  #room;
  #create;
  #transports;
  #session;
  #after = 0;
  #socket;
  #saying = Promise.resolve();
  #over = new AbortController();
  #wake = () => {};

  /** `transport`, one of 'ws', 'sse', 'poll', is used alone; without it the first one that works. */
  constructor(room, { transport, create = true } = {}) {
    super();
    this.#room = `/rooms/${encodeURIComponent(room)}`;
    this.#create = create;
    this.#transports = TRANSPORTS.includes(transport) ? [transport] : [...TRANSPORTS];
    // The network is back: no need to wait any longer.
    addEventListener('online', () => this.#wake(), { signal: this.#over.signal });
  }

  /** Joins, or throws what the server says. From then on the place is kept, also through a restart of the server. */
  async join() {
    await this.#join();
    this.#keep();
  }

  /** Says something to the other one. What cannot be said is lost: both begin anew when they hear each other again. */
  say(...messages) {
    this.#saying = this.#saying.then(() => this.#send(messages)).catch((error) => this.#tell('unsaid', error));
  }

  leave() {
    this.#over.abort();
    this.#socket?.close();
    if (this.#session) fetch(this.#path(), { method: 'DELETE', keepalive: true }).catch(() => {});
    this.#session = undefined;
  }

  #path(rest = '') {
    return `${this.#room}/${this.#session}${rest}`;
  }

  #tell(type, detail) {
    if (!this.#over.signal.aborted) this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  async #join() {
    const { session } = await ask(this.#room, { method: 'POST', headers: json, body: JSON.stringify({ create: this.#create }) });
    // Who left in the meantime leaves here as well.
    if (this.#over.signal.aborted) fetch(`${this.#room}/${session}`, { method: 'DELETE', keepalive: true }).catch(() => {});
    this.#session = session;
    this.#after = 0;
  }

  async #keep() {
    let failures = 0;
    const isOver = () => this.#over.signal.aborted;
    while (!isOver()) {
      let worked = false;
      const works = () => {
        if (!worked) this.#tell('up', this.#transports[0]);
        worked = true;
        failures = 0;
      };
      try {
        if (!this.#session) await this.#join();
        await this[`_${this.#transports[0]}`](works);
      } catch (error) {
        if (this.#isFinal(error, failures)) return;
      }
      if (isOver()) return;
      if (worked) this.#tell('down');
      try {
        // Is the session still there? Then it is the transport that does not come through.
        if (this.#session) await this.#send([], true);
        if (!worked) this.#transports.push(this.#transports.shift());
      } catch (error) {
        if (this.#isFinal(error, failures)) return;
      }
      const pause = PAUSES[Math.min(failures++, PAUSES.length - 1)] * (0.8 + 0.4 * Math.random());
      await new Promise((done) => { this.#wake = done; setTimeout(done, pause); });
    }
  }

  /** Whether it makes no sense to try again. */
  #isFinal(error, failures) {
    if (this.#over.signal.aborted) return true;
    if (error.status === 404) this.#session = undefined;
    // What holds our place may be ourselves, until the server notices that we were gone.
    const passes = [undefined, 404, 503].includes(error.status) || error.status === 409 && failures < 10;
    if (!passes || error.status === 404 && !this.#create && failures > 5) {
      this.#tell('refused', error);
      return true;
    }
    return false;
  }

  #take(events) {
    for (const { number, event, message } of events) {
      if (number <= this.#after) continue;
      this.#after = number;
      this.#tell(event, message);
    }
  }

  async #send(messages, byRequest = false) {
    if (!byRequest && this.#socket?.readyState === OPEN) return this.#socket.send(JSON.stringify(messages));
    if (!this.#session) throw new Error('not in the room at the moment');
    return ask(this.#path('/messages'), { method: 'POST', headers: json, body: JSON.stringify(messages) });
  }

  /** Listens by a WebSocket until it closes. */
  _ws(works) {
    const url = new URL(this.#path(`/ws?after=${this.#after}`), location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = this.#socket = new WebSocket(url);
    return this.#listen(socket, 'close', works, () => socket.send('[]')).finally(() => { this.#socket = undefined; });
  }

  /** Listens to server-sent events until they end. */
  _sse(works) {
    const source = new EventSource(this.#path(`/events?after=${this.#after}`));
    return this.#listen(source, 'error', works, () => this.#send([]).catch(() => {}));
  }

  #listen(source, end, works, answer) {
    return new Promise((resolve) => {
      let timer;
      const finish = () => { clearTimeout(timer); source.close(); resolve(); };
      const wait = (time) => { clearTimeout(timer); timer = setTimeout(finish, time); };
      wait(OPENING);
      source.addEventListener('message', ({ data }) => {
        if (this.#over.signal.aborted) return;
        works();
        wait(SILENCE);
        const events = JSON.parse(data);
        if (events.error) this.#tell('unsaid', new Error(events.error));
        // It asks whether we are there.
        else if (!events.length) answer();
        else this.#take(events);
      });
      source.addEventListener(end, finish);
      this.#over.signal.addEventListener('abort', finish);
    });
  }

  /** Asks again and again. */
  async _poll(works) {
    // The first request waits for nothing.
    for (let wait = 0; !this.#over.signal.aborted; wait = 20) {
      const signal = AbortSignal.any?.([this.#over.signal, AbortSignal.timeout(SILENCE)]) ?? this.#over.signal;
      const events = await ask(this.#path(`/messages?after=${this.#after}&wait=${wait}`), { signal });
      works();
      this.#take(events);
    }
  }
}

async function ask(url, options) {
  const response = await fetch(url, { cache: 'no-store', ...options });
  if (response.ok) return response.status === 204 ? undefined : response.json();
  const { error } = await response.json().catch(() => ({}));
  throw new Refused(response.status, error ?? `the server says ${response.status}`);
}

// With ?relay in its address, a page keeps to relays: the program's own, or those it names; with ?relay=udp, tcp or tls to those
// that it reaches so.
const relayBy = new URLSearchParams(location.search).get('relay');
export const iceTransportPolicy = relayBy === null ? 'all' : 'relay';

/** The STUN and TURN servers that this server knows, by the transport that is wished; none if it does not say. */
export async function iceServers() {
  const by = (url) => url.startsWith('turns:') ? 'tls' : url.endsWith('?transport=tcp') ? 'tcp' : 'udp';
  const servers = await ask('/ice-servers').catch(() => []);
  return servers
    .map((server) => ({ ...server, urls: server.urls.filter((url) => !relayBy || by(url) === relayBy) }))
    .filter(({ urls }) => urls.length);
}

/** So many random bits, in hexadecimal. */
export function random(bits) {
  const bytes = crypto.getRandomValues(new Uint8Array(bits / 8));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
