// A call between two pages of a room: who is who, perfect negotiation (W3C webrtc-pc §10.7), and what to do when the way is lost.
import { Signalling, iceServers, iceTransportPolicy, random } from './signalling.js';

const PATIENCE = 3000; // How long a connection may be interrupted until another way is looked for.
const SETUP = 12000; // How long it may take to connect.

/**
 * One's part of a call. Events: 'state' (what `state` is has changed), 'track', 'message' (a chat message), 'trace' (text for who is
 * curious).
 *
 * Each side has a number that is new for each connection. Both say hello when they meet, also when they meet again after the server
 * was away: who knows the number goes on with the connection, and who does not makes a new one.
 */
export class Call extends EventTarget {
  #signalling;
  #me = random(128);
  #peer; // The number of the other side, while there is a connection with it.
  #isThere = false; // Whether the other side is in the room.
  #making = false;
  #answering = false;
  #ignoring = false;
  #handling = Promise.resolve();
  #timer;
  #restarts = 0; // Since the two were connected.
  #relayed = false; // Whether our own end of the way is a relay, as the other side was told.
  #othersRelayed = false; // The same of the other side.
  pc;
  chat;
  stream;

  constructor(room, transport) {
    super();
    this.#signalling = new Signalling(room, { transport });
    const on = (type, listener) => this.#signalling.addEventListener(type, ({ detail }) => listener(detail));
    on('up', (way) => { this.trace(`signalling by ${way}`); this.#greet(true); });
    on('down', () => this.trace('signalling lost: it is tried again'));
    on('unsaid', (error) => this.trace(`not said: ${error.message}`));
    on('arrived', () => { this.#isThere = true; this.trace('the other one is here'); this.#greet(true); this.#changed(); });
    on('left', () => { this.#isThere = false; this.trace('the other one has left'); this.#reset(); });
    // Perhaps just its signalling: the connection tells.
    on('lost', () => { this.#isThere = false; this.trace('the server does not hear the other one'); this.#recover(); });
    on('refused', (error) => { this.refusal = error.message; this.trace(error.message); this.#changed(); });
    on('message', (message) => {
      this.#handling = this.#handling.then(() => this.#handle(message)).catch((error) => this.trace(error.message));
    });
  }

  /** Joins the room, with what is sent in it. Throws when the server refuses. */
  async join(stream) {
    this.stream = stream;
    await this.#signalling.join();
  }

  leave() {
    this.#signalling.leave();
    this.#reset();
  }

  /** 'waiting' until there is another one, and then that of the connection. */
  get state() {
    if (this.refusal && !this.pc) return 'refused';
    return this.pc?.connectionState ?? (this.#isThere ? 'connecting' : 'waiting');
  }

  /** Sends this in place of what was sent before. */
  send(stream) {
    this.stream = stream;
    if (!this.pc) return;
    for (const track of stream.getTracks()) {
      const used = this.pc.getTransceivers().find(({ sender, receiver, direction }) =>
        direction !== 'stopped' && receiver.track.kind === track.kind && (!sender.track || sender.track.readyState === 'ended'));
      if (used?.mid && used.direction === 'sendrecv') used.sender.replaceTrack(track).catch((error) => this.trace(error.message));
      else this.pc.addTrack(track, stream);
    }
  }

  /** Looks for another way between the two. */
  async restart() {
    const { pc } = this;
    if (!pc) return;
    this.trace('looking for another way');
    const servers = await iceServers();
    if (pc !== this.pc) return;
    try {
      // Credentials of relays are short-lived.
      pc.setConfiguration({ ...pc.getConfiguration(), iceServers: servers });
    } catch (error) {
      this.trace(error.message);
    }
    pc.restartIce();
  }

  trace(text) {
    this.dispatchEvent(new CustomEvent('trace', { detail: text }));
  }

  #changed() {
    this.dispatchEvent(new Event('state'));
  }

  #say(message) {
    if (message.description) this.trace(`${message.description.type} said`);
    this.#signalling.say({ from: this.#me, to: this.#peer ?? null, ...message });
  }

  /** Says who this is. `again` asks the other side to say once more what may have been lost. */
  #greet(again) {
    this.#say({ hello: { again } });
  }

  /**
   * Which way the media take: `{ relayed, text }`, or nothing while there is none. That the other side's end is a relay only that
   * side knows for sure: to us it may be an address from which checks have come, unheard of. So each tells the other.
   */
  async path() {
    const { pc } = this;
    const found = pc?.connectionState === 'connected' ? await path(pc) : undefined;
    if (!found || pc !== this.pc) return undefined;
    if (found.local === 'relay' !== this.#relayed) {
      this.#relayed = !this.#relayed;
      this.#say({ relayed: this.#relayed });
    }
    const remote = this.#othersRelayed ? 'relay' : found.remote;
    const relayed = found.local === 'relay' || remote === 'relay';
    return { relayed, text: `${relayed ? 'relayed' : 'direct'} (${found.local} to ${remote}, ${found.details})` };
  }

  async #handle({ from, to, hello, description, candidate, relayed }) {
    if (hello) {
      this.#isThere = true;
      if (from !== this.#peer) await this.#meet(from);
      else if (hello.again && to === this.#me) this.#resume();
      if (to !== this.#me) this.#greet(false);
    } else if (from === this.#peer && to === this.#me) {
      if (description) this.trace(`${description.type} heard`);
      if (description) await this.#describe(description);
      else if (relayed !== undefined) this.#othersRelayed = relayed;
      else await this.#addCandidate(candidate);
    }
  }

  async #meet(peer) {
    // With this one there was no connection yet: our number may stay.
    this.#close();
    // Both have to know this before either of them offers.
    this.#peer = peer;
    const servers = await iceServers();
    if (this.#peer !== peer) return;
    const pc = this.pc = new RTCPeerConnection({ iceServers: servers, iceTransportPolicy });
    const on = (target, type, listener) => target.addEventListener(type, (event) => { if (pc === this.pc) listener(event); });
    on(pc, 'negotiationneeded', () => this.#offer());
    on(pc, 'icecandidate', ({ candidate }) => this.#say({ candidate }));
    on(pc, 'track', ({ track }) => this.dispatchEvent(new CustomEvent('track', { detail: track })));
    on(pc, 'connectionstatechange', () => {
      this.trace(`connection: ${pc.connectionState}`);
      this.#recover();
      this.#changed();
    });
    // Both make it, so that neither has to wait for the other.
    this.chat = pc.createDataChannel('chat', { negotiated: true, id: 0 });
    on(this.chat, 'open', () => this.#changed());
    on(this.chat, 'close', () => this.#changed());
    on(this.chat, 'message', ({ data }) => this.dispatchEvent(new CustomEvent('message', { detail: data })));
    if (this.stream) this.send(this.stream);
    this.#recover();
    this.#changed();
  }

  /** Of two offers that cross, that of the impolite side counts: "the polite peer yields". */
  get #polite() {
    return this.#me < this.#peer;
  }

  async #offer() {
    const { pc } = this;
    // The first offer is that of the impolite side, so that offers cross in a call at most: what the polite side has to send is a part
    // of its answer, or is offered after that. What a browser has not begun yet need not be rolled back.
    if (this.#polite && !pc.remoteDescription) return;
    try {
      this.#making = true;
      await pc.setLocalDescription();
      if (pc === this.pc) this.#say({ description: pc.localDescription });
    } catch (error) {
      this.trace(error.message);
    } finally {
      this.#making = false;
    }
  }

  async #describe(description) {
    const { pc } = this;
    const ready = !this.#making && (pc.signalingState === 'stable' || this.#answering);
    const crossed = description.type === 'offer' && !ready;
    if (crossed) this.trace(`offers crossed: ${this.#polite ? 'the other one counts' : 'ours counts'}`);
    this.#ignoring = crossed && !this.#polite;
    if (this.#ignoring) return;
    this.#answering = description.type === 'answer';
    try {
      await pc.setRemoteDescription(description);
    } finally {
      this.#answering = false;
    }
    if (description.type !== 'offer' || pc !== this.pc) return;
    await pc.setLocalDescription();
    if (pc === this.pc) this.#say({ description: pc.localDescription });
  }

  async #addCandidate(candidate) {
    try {
      await this.pc?.addIceCandidate(candidate ?? undefined);
    } catch (error) {
      // That of an offer which was passed over.
      if (!this.#ignoring) throw error;
    }
  }

  /** Says once more what may have been lost on the way. */
  #resume() {
    if (this.#relayed) this.#say({ relayed: true });
    if (this.pc?.signalingState === 'have-local-offer') this.#say({ description: this.pc.localDescription });
    this.#recover();
  }

  /**
   * Looks for another way where there is none, once the other side can be told. That is the impolite one's business: where both
   * restart ICE at once, what Firefox answers after its rollback has another DTLS role at times, which Chromium refuses.
   */
  #recover() {
    clearTimeout(this.#timer);
    const state = this.pc?.connectionState;
    if (state === 'connected') this.#restarts = 0;
    if (state === 'failed' && !this.#isThere) this.#reset();
    if (!this.pc || !this.#isThere || this.#polite || state === 'connected') return;
    if (state === 'failed') this.#tryAgain();
    else this.#timer = setTimeout(() => this.#tryAgain(), state === 'disconnected' ? PATIENCE : SETUP);
  }

  /** Another way; where none is found, another connection. */
  #tryAgain() {
    this.#restarts += 1;
    if (this.#restarts === 1) {
      this.restart();
      this.#timer = setTimeout(() => this.#tryAgain(), SETUP);
    } else {
      this.trace('beginning anew');
      this.#reset();
      this.#greet(true);
    }
  }

  #reset() {
    // The other side has to see that this connection is none any more.
    if (this.pc) this.#me = random(128);
    this.#close();
    this.#changed();
  }

  #close() {
    clearTimeout(this.#timer);
    this.#restarts = 0;
    this.#relayed = this.#othersRelayed = false;
    const { pc } = this;
    this.pc = this.chat = this.#peer = undefined;
    pc?.close();
  }
}

/** The kinds of both ends of the way in use, and what else is known of it; nothing while there is none. */
async function path(pc) {
  const stats = await pc.getStats();
  const all = [...stats.values()];
  const transport = all.find(({ type }) => type === 'transport');
  const pair = stats.get(transport?.selectedCandidatePairId)
    ?? all.find(({ type, selected }) => type === 'candidate-pair' && selected)
    ?? all.find(({ type, nominated, state }) => type === 'candidate-pair' && nominated && state === 'succeeded');
  const local = stats.get(pair?.localCandidateId), remote = stats.get(pair?.remoteCandidateId);
  if (!local || !remote) return undefined;
  const rtt = pair.currentRoundTripTime === undefined ? '' : `, ${Math.round(pair.currentRoundTripTime * 1000)} ms`;
  const by = local.candidateType === 'relay' ? `${local.relayProtocol ?? 'udp'} to the relay` : local.protocol;
  return { local: local.candidateType, remote: remote.candidateType, details: `${by}${rtt}` };
}
