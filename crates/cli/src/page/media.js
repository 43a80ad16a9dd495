// Where the page's own sound and pictures come from: a camera, a screen, or what is drawn and played here.

/** `{ stream, kind, stop }`; without a device, or when the user refuses one, a synthetic source, and `reason` says why. */
export async function open(kind, deviceId) {
  try {
    if (kind === 'screen') return device(await navigator.mediaDevices.getDisplayMedia({ video: true, audio: true }), kind);
    if (kind === 'camera') return device(await camera(deviceId), kind);
    return synthetic();
  } catch (error) {
    return { ...synthetic(), reason: `${kind === 'screen' ? 'no screen' : 'no camera or microphone'}: ${error.message}` };
  }
}

/** Both; or the one that there is. */
async function camera(deviceId) {
  const video = { width: { ideal: 1280 }, height: { ideal: 720 }, ...(deviceId && { deviceId: { exact: deviceId } }) };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: true });
  } catch (error) {
    if (error.name !== 'NotFoundError') throw error;
    return await navigator.mediaDevices.getUserMedia({ audio: true }).catch(() => navigator.mediaDevices.getUserMedia({ video }));
  }
}

/** The camera after the one in use, if there are several. */
export async function nextCamera(track) {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((found) => found.kind === 'videoinput');
  const present = cameras.findIndex((found) => found.deviceId === track?.getSettings().deviceId);
  const next = cameras[(present + 1) % cameras.length];
  if (cameras.length < 2) throw new Error('there is no other camera');
  return (await navigator.mediaDevices.getUserMedia({ video: { deviceId: { exact: next.deviceId } } })).getVideoTracks()[0];
}

function device(stream, kind) {
  return { stream, kind, stop: () => stream.getTracks().forEach((track) => track.stop()) };
}

/** A clock face that turns, with the time and a running number, and a soft tone that comes and goes with it. */
function synthetic() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const context = canvas.getContext('2d');
  let frame = 0;
  const draw = () => {
    const { width, height } = canvas;
    const turn = (frame % 150) / 150;
    context.fillStyle = `hsl(${turn * 360} 45% 22%)`;
    context.fillRect(0, 0, width, height);
    context.lineWidth = 10;
    for (const [radius, speed, hue] of [[130, 1, 172], [95, 2, 235], [60, 5, 45]]) {
      context.strokeStyle = `hsl(${hue} 70% 65%)`;
      context.beginPath();
      context.arc(width / 2, height / 2, radius, turn * speed * 2 * Math.PI, turn * speed * 2 * Math.PI + 4.4);
      context.stroke();
    }
    context.fillStyle = '#fff';
    context.textAlign = 'center';
    context.font = '600 28px system-ui, sans-serif';
    context.fillText(new Date().toLocaleTimeString('en-GB'), width / 2, height / 2 + 2);
    context.font = '18px ui-monospace, monospace';
    context.fillText(String(frame), width / 2, height / 2 + 28);
    frame += 1;
  };
  draw();
  const timer = setInterval(draw, 1000 / 30);
  const stream = canvas.captureStream(30);

  const audio = new AudioContext();
  const [tone, volume, swell, depth] = [audio.createOscillator(), audio.createGain(), audio.createOscillator(), audio.createGain()];
  const output = audio.createMediaStreamDestination();
  tone.frequency.value = 330;
  swell.frequency.value = 0.5;
  volume.gain.value = depth.gain.value = 0.06;
  swell.connect(depth).connect(volume.gain);
  tone.connect(volume).connect(output);
  tone.start();
  swell.start();
  // Without a click on the page the browser keeps it suspended.
  audio.resume().catch(() => {});
  stream.addTrack(output.stream.getAudioTracks()[0]);
  const stop = () => {
    clearInterval(timer);
    stream.getTracks().forEach((track) => track.stop());
    audio.close();
  };
  return { stream, kind: 'synthetic', stop };
}
