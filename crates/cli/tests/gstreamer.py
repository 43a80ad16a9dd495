"""A WHIP client of GStreamer: publishes a test picture and a tone to the URL in its argument until its input ends.

With a second argument, `tcp`, neither side learns of the other's candidates over UDP."""

import sys
import threading
import urllib.parse
import urllib.request

import gi

for name in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC

# Keyframes come when they are asked for.
PIPELINE = """
    webrtcbin name=peer bundle-policy=max-bundle
    videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=96,framerate=30/1
      ! vp8enc deadline=1 keyframe-max-dist=100000 ! rtpvp8pay pt=96 picture-id-mode=15-bit
      ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer.
    audiotestsrc is-live=true ! audioconvert ! audioresample ! opusenc ! rtpopuspay pt=97
      ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97,encoding-params=(string)2 ! peer.
"""


class Client:
    def __init__(self, endpoint, tcp_alone):
        self.endpoint = endpoint
        self.tcp_alone = tcp_alone
        self.session = None
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(PIPELINE)
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("on-negotiation-needed", self.offer)
        self.peer.connect("notify::ice-gathering-state", self.on_gathering)
        self.peer.connect("notify::connection-state", self.on_state)
        for index in range(2):
            transceiver = self.peer.emit("get-transceiver", index)
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)

    def run(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        threading.Thread(target=self.wait_for_end, daemon=True).start()
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)

    def offer(self, peer):
        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer))

    def on_offer(self, promise, *_):
        promise.wait()
        # It owns the offer.
        reply = promise.get_reply()
        self.peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def on_gathering(self, peer, _):
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.post)

    def post(self):
        offer = self.told(self.peer.get_property("local-description").sdp.as_text())
        headers = {"Content-Type": "application/sdp"}
        request = urllib.request.Request(self.endpoint, offer.encode(), headers, method="POST")
        with urllib.request.urlopen(request) as response:
            self.session = urllib.parse.urljoin(self.endpoint, response.headers["Location"])
            _, answer = GstSdp.SDPMessage.new_from_text(self.told(response.read().decode()))
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, answer)
        self.peer.emit("set-remote-description", answer, Gst.Promise.new())

    def told(self, sdp):
        lines = sdp.splitlines()
        if self.tcp_alone:
            lines = [line for line in lines if not line.startswith("a=candidate:") or line.split()[2].lower() == "tcp"]
        return "".join(line + "\r\n" for line in lines)

    def on_state(self, peer, _):
        print(peer.get_property("connection-state").value_nick, flush=True)

    def wait_for_end(self):
        sys.stdin.read()
        with urllib.request.urlopen(urllib.request.Request(self.session, method="DELETE")) as response:
            print("ended:", response.status, flush=True)
        self.loop.quit()


Gst.init(None)
Client(sys.argv[1], "tcp" in sys.argv[2:]).run()
