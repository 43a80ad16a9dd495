//! Stream reconfiguration: resetting streams (RFC 6525).
//!
//! Only the sending side of a stream can reset it. One request is in flight at a time; it is repeated, with the same
//! number, until the peer has answered it for good.

use std::time::Instant;

use peerline_wire::Serial32;

use crate::association::{Association, State};
use crate::event::ResetResult;
use crate::shutdown::Phase;
use crate::tx::rto::Rto;
use crate::tx::send_queue::Reset;
use crate::wire::{
    IncomingReset, OutgoingReset, ReConfig, ReconfigParameter, ReconfigResponse, ReconfigResult, StreamList,
};
use crate::{Event, ResetError, StreamId};

#[derive(Debug)]
pub(crate) struct Reconfig {
    /// The number of our next request.
    next_request: Serial32,
    request: Option<Request>,
    /// The number the peer's next request must have.
    expected: Serial32,
    /// How the peer's last request was answered.
    answered: Option<ReconfigResult>,
    /// The peer's last request, as long as it waits for data (§5.2.2 E2, "deferred reset processing").
    deferred: Option<Deferred>,
}

/// Our request in flight.
#[derive(Debug)]
struct Request {
    number: Serial32,
    response: Serial32,
    last_tsn: Serial32,
    /// In ascending order, as they are written.
    streams: Vec<[u8; 2]>,
    due: bool,
    deadline: Option<Instant>,
    /// How often the timer has expired. It backs off on its own: a lost request says nothing about data.
    expiries: u32,
    /// When it left, as long as it has left once.
    left: Option<Instant>,
}

#[derive(Debug)]
struct Deferred {
    /// 64-bit TSN.
    last_tsn: u64,
    /// None: all.
    streams: Option<Vec<StreamId>>,
}

impl Reconfig {
    pub(crate) fn new(local_initial_tsn: Serial32, peer_initial_tsn: Serial32) -> Self {
        // §4.1: the numbers of requests begin with the initial TSN.
        Self {
            next_request: local_initial_tsn,
            request: None,
            expected: peer_initial_tsn,
            answered: None,
            deferred: None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.request.as_ref().and_then(|request| request.deadline)
    }

    /// True if no request is in flight, so that another may begin.
    pub(crate) fn is_idle(&self) -> bool {
        self.request.is_none()
    }

    /// Makes a request for these streams.
    pub(crate) fn begin(&mut self, last_tsn: Serial32, streams: &[StreamId]) {
        self.request = Some(Request {
            number: self.next_request,
            response: self.expected.sub(1),
            last_tsn,
            streams: streams.iter().map(|stream| stream.0.to_be_bytes()).collect(),
            due: true,
            deadline: None,
            expiries: 0,
            left: None,
        });
        self.next_request = self.next_request.next();
    }

    /// Bytes of the RE-CONFIG chunk that is due.
    pub(crate) fn due_len(&self) -> Option<usize> {
        let request = self.request.as_ref().filter(|request| request.due)?;
        Some(4 + (16 + 2 * request.streams.len()).next_multiple_of(4))
    }

    /// Writes the request, which leaves now.
    pub(crate) fn write(&mut self, now: Instant, rto: &Rto, out: &mut Vec<u8>) {
        let Some(request) = &mut self.request else { return };
        let streams = StreamList::decode(request.streams.as_flattened()).unwrap_or_default();
        let reset = OutgoingReset {
            request: request.number,
            response: request.response,
            last_tsn: request.last_tsn,
            streams,
        };
        ReConfig::write(out, &ReconfigParameter::OutgoingReset(reset));
        request.due = false;
        request.left = (request.expiries == 0).then_some(now);
        request.deadline = now.checked_add(rto.after(request.expiries));
    }

    /// The peer has moved on in its own requests; what we answered is settled.
    fn accept(&mut self) {
        self.expected = self.expected.next();
        self.deferred = None;
    }
}

/// Streams in one request, so that it fits a packet with other chunks.
const MAX_STREAMS: usize = 200;

/// With this many events untaken, the peer's wishes are denied.
const MAX_EVENTS: usize = 4096;

impl Association {
    pub(crate) fn begin_stream_reset(&mut self, stream: StreamId) -> Result<(), ResetError> {
        match &self.state {
            State::Ended => return Err(ResetError::Closed),
            State::Open(open) if !open.phase.takes_messages() => return Err(ResetError::Closed),
            State::Closed | State::CookieWait(_) if stream.0 >= self.config.outgoing_streams => {
                return Err(ResetError::InvalidStream);
            }
            _ => {}
        }
        if let Some(tcb) = self.state.tcb() {
            if !tcb.agreement.peer_can.re_config {
                return Err(ResetError::NotSupported);
            }
            if stream.0 >= tcb.agreement.outgoing_streams {
                return Err(ResetError::InvalidStream);
            }
        }
        if self.queue.reset_state(stream) != Reset::None {
            return Err(ResetError::Resetting);
        }
        self.queue.want_reset(stream);
        Ok(())
    }

    /// Begins a request if streams wait for one and none is in flight.
    pub(crate) fn begin_reset_request(&mut self) {
        if !self.queue.has_resets() {
            return;
        }
        let State::Open(open) = &mut self.state else { return };
        if open.tcb.reconfig.is_idle() && matches!(open.phase, Phase::Established) {
            let streams = self.queue.take_resets(MAX_STREAMS);
            // §5.1.2 A3: "The Sender's Last Assigned TSN MUST be set to the next TSN the sender assigns minus 1."
            open.tcb
                .reconfig
                .begin(open.tcb.outstanding.next_tsn().sub(1), &streams);
        }
    }

    pub(crate) fn on_reconfig_timeout(&mut self, now: Instant) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        let Some(request) = &mut tcb.reconfig.request else {
            return;
        };
        if request.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        request.deadline = None;
        request.due = true;
        request.expiries += 1;
        self.count_error();
    }

    pub(crate) fn on_re_config(&mut self, now: Instant, re_config: &ReConfig<'_>) {
        for parameter in re_config.parameters() {
            let Ok(parameter) = parameter else {
                self.stats.malformed += 1;
                return;
            };
            let (request, judge): (_, fn(&mut Self, &ReconfigParameter<'_>) -> ReconfigResult) = match &parameter {
                ReconfigParameter::OutgoingReset(reset) => (reset.request, Self::judge_outgoing_reset),
                ReconfigParameter::IncomingReset(reset) => (reset.request, Self::judge_incoming_reset),
                ReconfigParameter::SsnTsnReset(request) => (*request, |_, _| ReconfigResult::DENIED),
                ReconfigParameter::AddOutgoingStreams(add) | ReconfigParameter::AddIncomingStreams(add) => {
                    (add.request, |_, _| ReconfigResult::DENIED)
                }
                ReconfigParameter::Response(response) => {
                    self.on_reconfig_response(now, *response);
                    continue;
                }
                ReconfigParameter::Unknown(_) => continue,
            };
            self.answer_request(request, &parameter, judge);
        }
    }

    fn answer_request(
        &mut self,
        number: Serial32,
        parameter: &ReconfigParameter<'_>,
        judge: fn(&mut Self, &ReconfigParameter<'_>) -> ReconfigResult,
    ) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        // §5.2.1: a SACK goes with the answer, so that the peer learns at once what is missing.
        tcb.ack.now = true;
        let result = if number == tcb.reconfig.expected {
            tcb.reconfig.accept();
            let result = judge(self, parameter);
            let Some(tcb) = self.state.tcb_mut() else { return };
            tcb.reconfig.answered = Some(result);
            result
        } else if number == tcb.reconfig.expected.sub(1)
            && let Some(answered) = tcb.reconfig.answered
        {
            // A repetition: the answer was lost, or was "in progress" and may be a better one now. A deferred reset
            // answers for itself once the data has come.
            if answered == ReconfigResult::IN_PROGRESS && tcb.reconfig.deferred.is_none() {
                let result = judge(self, parameter);
                let Some(tcb) = self.state.tcb_mut() else { return };
                tcb.reconfig.answered = Some(result);
                result
            } else {
                answered
            }
        } else {
            ReconfigResult::BAD_SEQUENCE_NUMBER
        };
        self.respond(number, result);
    }

    fn respond(&mut self, response: Serial32, result: ReconfigResult) {
        let limit = self.control_limit();
        let Some(tcb) = self.state.tcb_mut() else { return };
        let response = ReconfigResponse {
            response,
            result,
            next_tsns: None,
        };
        tcb.push_control(limit, |out| {
            ReConfig::write(out, &ReconfigParameter::Response(response));
        });
    }

    /// The peer resets its outgoing streams (§5.2.2).
    fn judge_outgoing_reset(&mut self, parameter: &ReconfigParameter<'_>) -> ReconfigResult {
        let (ReconfigParameter::OutgoingReset(reset), Some(tcb)) = (parameter, self.state.tcb_mut()) else {
            return ReconfigResult::DENIED;
        };
        if reset
            .streams
            .iter()
            .any(|stream| stream.0 >= tcb.agreement.incoming_streams)
        {
            return ReconfigResult::WRONG_SSN;
        }
        let streams = (!reset.streams.is_empty()).then(|| reset.streams.iter().collect());
        let deferred = Deferred {
            last_tsn: tcb.tracker.extend(reset.last_tsn),
            streams,
        };
        if deferred.last_tsn > tcb.tracker.cumulative_extended() {
            // E2: "it MUST put a Re-configuration Response Parameter into a RE-CONFIG chunk indicating 'In progress'".
            tcb.reconfig.deferred = Some(deferred);
            return ReconfigResult::IN_PROGRESS;
        }
        self.perform(deferred.streams);
        ReconfigResult::PERFORMED
    }

    /// E3: "If no stream numbers are listed in the parameter, then all incoming streams MUST be reset to 0 as the next
    /// expected SSN."
    fn perform(&mut self, streams: Option<Vec<StreamId>>) {
        let streams = streams.unwrap_or_else(|| self.reassembly.streams().collect());
        for stream in streams {
            self.reassembly.reset(stream, &mut self.events);
        }
    }

    /// The cumulative TSN has moved: a deferred reset may be due. It is answered anew without being asked again.
    pub(crate) fn perform_deferred_reset(&mut self) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        let reached = tcb.tracker.cumulative_extended();
        let Some(deferred) = tcb.reconfig.deferred.take_if(|deferred| deferred.last_tsn <= reached) else {
            return;
        };
        tcb.reconfig.answered = Some(ReconfigResult::PERFORMED);
        let number = tcb.reconfig.expected.sub(1);
        self.perform(deferred.streams);
        self.respond(number, ReconfigResult::PERFORMED);
    }

    /// The peer asks us to reset our outgoing streams (§5.2.3).
    fn judge_incoming_reset(&mut self, parameter: &ReconfigParameter<'_>) -> ReconfigResult {
        let (ReconfigParameter::IncomingReset(IncomingReset { streams, .. }), State::Open(open)) =
            (parameter, &self.state)
        else {
            return ReconfigResult::DENIED;
        };
        let count = open.tcb.agreement.outgoing_streams;
        if streams.iter().any(|stream| stream.0 >= count) {
            return ReconfigResult::WRONG_SSN;
        }
        if !open.phase.takes_messages() || self.events.len() >= MAX_EVENTS {
            return ReconfigResult::DENIED;
        }
        let known = self.queue.streams().collect::<Vec<_>>();
        let wanted: Vec<StreamId> = if streams.is_empty() {
            known
        } else {
            // A stream that has never been used is where a reset would take it.
            streams
                .iter()
                .filter(|stream| known.binary_search(stream).is_ok())
                .collect()
        };
        if wanted.is_empty() {
            return ReconfigResult::NOTHING_TO_DO;
        }
        wanted.into_iter().for_each(|stream| self.queue.want_reset(stream));
        ReconfigResult::IN_PROGRESS
    }

    fn on_reconfig_response(&mut self, now: Instant, response: ReconfigResponse) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        let rto = tcb.rto.current();
        let Some(request) = &mut tcb.reconfig.request else {
            return;
        };
        if request.number != response.response {
            return;
        }
        tcb.errors = 0;
        if let Some(left) = request.left.take() {
            tcb.rto.measure(now.saturating_duration_since(left));
        }
        if response.result == ReconfigResult::IN_PROGRESS {
            // The peer lacks data, or time: asked again with the same number after an RTO.
            request.due = false;
            request.expiries = 0;
            request.deadline = now.checked_add(rto);
            return;
        }
        let Some(request) = tcb.reconfig.request.take() else {
            return;
        };
        let performed = matches!(
            response.result,
            ReconfigResult::PERFORMED | ReconfigResult::NOTHING_TO_DO
        );
        let result = if performed {
            ResetResult::Performed
        } else {
            ResetResult::Failed
        };
        for stream in request.streams.into_iter().map(u16::from_be_bytes).map(StreamId) {
            self.queue.finish_reset(stream, performed);
            self.events.push_back(Event::OutgoingStreamReset(stream, result));
        }
    }
}
