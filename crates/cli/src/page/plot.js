// Lines of the last two minutes: one measured by the browser, one by the Rust peer.

const POINTS = 120;
const SVG = 'http://www.w3.org/2000/svg';

const element = (name, attributes) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

export class Plot {
  /** In `figure`; `format` makes text of a value, and the plot is at least as high as `least`. */
  constructor(figure, title, least, format) {
    Object.assign(this, { title, least, format, series: { browser: [], rust: [] }, lines: {}, texts: {} });
    const caption = document.createElement('figcaption');
    caption.append(title);
    this.svg = element('svg', { viewBox: `0 0 ${POINTS - 1} 40`, preserveAspectRatio: 'none', role: 'img' });
    for (const y of [0, 20, 40]) this.svg.append(element('line', { class: 'grid', x1: 0, x2: POINTS - 1, y1: y, y2: y }));
    for (const name of ['browser', 'rust']) {
      this.texts[name] = Object.assign(document.createElement('span'), { className: name, textContent: '–' });
      caption.append(this.texts[name]);
      this.svg.append(this.lines[name] = element('polyline', { class: name }));
    }
    figure.replaceChildren(caption, this.svg);
  }

  /** One more second; what was not measured is undefined, and leaves the line where it was. */
  add(values) {
    for (const [name, points] of Object.entries(this.series)) {
      const value = values[name];
      points.push(Number.isFinite(value) ? value : points.at(-1) ?? 0);
      if (points.length > POINTS) points.shift();
      this.texts[name].textContent = Number.isFinite(value) ? this.format(value) : '–';
    }
    const top = Math.max(this.least, ...this.series.browser, ...this.series.rust) * 1.1;
    for (const [name, points] of Object.entries(this.series)) {
      const x = POINTS - points.length;
      this.lines[name].setAttribute('points', points.map((value, i) => `${x + i},${(40 - value / top * 40).toFixed(2)}`).join(' '));
    }
    const told = Object.entries(this.texts).map(([name, text]) => `${name} ${text.textContent}`);
    this.svg.setAttribute('aria-label', `${this.title}: ${told.join(', ')}`);
  }

  clear() {
    for (const name of Object.keys(this.series)) {
      this.series[name].length = 0;
      this.lines[name].setAttribute('points', '');
      this.texts[name].textContent = '–';
    }
  }
}

/** What one side's statistics (W3C webrtc-stats, an iterable of objects) tell of a second, by those of the second before. */
export class Meter {
  measure(stats) {
    const sum = { received: 0, packets: 0, lost: 0, frames: 0 };
    let rtt, codec, now = 0;
    const all = [...stats];
    for (const one of all) {
      now = Math.max(now, one.timestamp);
      if (one.type === 'inbound-rtp') {
        sum.received += one.bytesReceived + (one.headerBytesReceived ?? 0);
        sum.packets += one.packetsReceived;
        sum.lost += one.packetsLost;
        if (one.kind === 'video') [sum.frames, codec] = [one.framesDecoded ?? one.framesReceived ?? 0, one.codecId ?? codec];
      }
      if (one.type === 'remote-inbound-rtp' && one.roundTripTime !== undefined) rtt = Math.max(rtt ?? 0, one.roundTripTime);
      if (one.type === 'candidate-pair' && one.nominated && rtt === undefined) rtt = one.currentRoundTripTime;
    }
    const before = this.before ?? { now, sum };
    this.before = { now, sum };
    const seconds = (now - before.now) / 1000;
    if (seconds <= 0) return { rtt: rtt * 1000 };
    const packets = sum.packets - before.sum.packets, lost = Math.max(0, sum.lost - before.sum.lost);
    return {
      bitrate: (sum.received - before.sum.received) * 8 / seconds / 1000,
      loss: packets + lost > 0 ? lost * 100 / (packets + lost) : undefined,
      rtt: rtt * 1000,
      frames: (sum.frames - before.sum.frames) / seconds,
      codec: all.find((one) => one.id === codec)?.mimeType?.split('/')[1],
    };
  }
}
