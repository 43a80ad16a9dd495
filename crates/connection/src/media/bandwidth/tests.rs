//! The estimator on links in virtual time: what it sends is what it says, in packets of 1,200 bytes.

use super::*;
use std::collections::VecDeque;

/// A queue of limited length before a link of limited rate.
struct Bottleneck {
    /// Bits a second.
    rate: f64,
    /// What the queue holds, as the time that it takes to be sent.
    depth: Duration,
    delay: Duration,
    loss: f64,
    free: Duration,
    random: u64,
}

impl Bottleneck {
    fn new(rate: f64) -> Self {
        Self {
            rate,
            depth: Duration::from_millis(300),
            delay: Duration::from_millis(25),
            loss: 0.0,
            free: Duration::ZERO,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn chance(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// When a packet that enters now comes out.
    fn pass(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        if self.free.saturating_sub(now) > self.depth {
            return None;
        }
        self.free = self.free.max(now) + Duration::from_secs_f64(bytes as f64 * 8.0 / self.rate);
        (self.chance() >= self.loss).then(|| self.free + self.delay)
    }

    fn queue(&self, now: Duration) -> Duration {
        self.free.saturating_sub(now)
    }
}

/// One that sends what its estimator says, or what its source gives, if that is less.
struct Flow {
    estimator: Estimator,
    most: f64,
    next: Duration,
    /// By departure: the report, and when it can be told.
    flying: VecDeque<(Duration, PacketReport)>,
    told: Duration,
}

const SIZE: usize = 1200;
const FEEDBACK: Duration = Duration::from_millis(100);

fn start() -> Instant {
    crate::media::tests::start()
}

impl Flow {
    fn new() -> Self {
        Self {
            estimator: Estimator::new(start(), Bounds::DEFAULT),
            most: f64::INFINITY,
            next: Duration::ZERO,
            flying: VecDeque::new(),
            told: Duration::ZERO,
        }
    }

    fn step(&mut self, now: Duration, link: &mut Bottleneck) {
        while self.next <= now {
            let arrival = link.pass(self.next, SIZE);
            let report = PacketReport {
                sent: start() + self.next,
                bytes: SIZE,
                // The peer's clock is another, in steps of 250 µs.
                arrival: arrival.map(|at| (at.as_micros() as i64 + 77_000_000) / 250 * 250),
            };
            let known = arrival.unwrap_or(self.next + link.delay + link.queue(self.next));
            self.flying.push_back((known, report));
            let rate = (self.estimator.target() as f64).min(self.most);
            self.next += Duration::from_secs_f64(SIZE as f64 * 8.0 / rate);
        }
        if now < self.told + FEEDBACK {
            return;
        }
        self.told = now;
        let heard = now.saturating_sub(link.delay);
        let count = self.flying.iter().take_while(|(known, _)| *known <= heard).count();
        let packets: Vec<_> = self.flying.drain(..count).map(|(_, report)| report).collect();
        self.estimator.on_report(start() + now, 2 * link.delay, packets);
    }
}

/// Runs until `end`; the mean of the estimates, in kbit/s, and of the queue, since `from`.
fn run(flows: &mut [Flow], link: &mut Bottleneck, now: &mut Duration, until: f64, from: f64) -> (Vec<f64>, Duration) {
    let (mut sums, mut queue, mut count) = (vec![0.0; flows.len()], Duration::ZERO, 0);
    while now.as_secs_f64() < until {
        *now += Duration::from_millis(5);
        for flow in &mut *flows {
            flow.step(*now, link);
        }
        if now.as_secs_f64() >= from {
            count += 1;
            queue += link.queue(*now);
            for (sum, flow) in sums.iter_mut().zip(&*flows) {
                *sum += flow.estimator.target() as f64 / 1000.0;
            }
        }
    }
    sums.iter_mut().for_each(|sum| *sum /= f64::from(count));
    (sums, queue / count)
}

fn alone(link: &mut Bottleneck, now: &mut Duration, flow: &mut Flow, until: f64, from: f64) -> (f64, u128) {
    let (rates, queue) = run(std::slice::from_mut(flow), link, now, until, from);
    (rates[0], queue.as_millis())
}

#[test]
fn a_link_is_used_and_its_queue_stays_short() {
    for rate in [0.2, 1.0, 5.0, 30.0] {
        let mut link = Bottleneck::new(rate * 1e6);
        let (mut flow, mut now) = (Flow::new(), Duration::ZERO);
        let (mean, queue) = alone(&mut link, &mut now, &mut flow, 60.0, 20.0);
        println!("{rate} Mbit/s: {mean:.0} kbit/s, queue {queue} ms");
        let share = mean / 1000.0 / rate;
        assert!((0.75..1.02).contains(&share), "{rate} Mbit/s: {mean} kbit/s");
        assert!(queue < 60, "{rate} Mbit/s: {queue} ms");
    }
}

#[test]
fn a_link_that_loses_is_used_too() {
    for loss in [0.01, 0.05] {
        let mut link = Bottleneck::new(1e6);
        link.loss = loss;
        let (mut flow, mut now) = (Flow::new(), Duration::ZERO);
        let (mean, queue) = alone(&mut link, &mut now, &mut flow, 60.0, 20.0);
        println!("{loss}: {mean:.0} kbit/s, queue {queue} ms");
        assert!((700.0..1020.0).contains(&mean), "{loss}: {mean} kbit/s");
        assert!(queue < 60, "{loss}: {queue} ms");
    }
    // That is more than noise.
    let mut link = Bottleneck::new(1e6);
    link.loss = 0.3;
    let (mut flow, mut now) = (Flow::new(), Duration::ZERO);
    let (mean, _) = alone(&mut link, &mut now, &mut flow, 20.0, 15.0);
    assert!(mean < 150.0, "{mean} kbit/s");
}

#[test]
fn a_drop_is_followed_at_once_and_a_recovery_soon() {
    let mut link = Bottleneck::new(2e6);
    let (mut flow, mut now) = (Flow::new(), Duration::ZERO);
    let (before, _) = alone(&mut link, &mut now, &mut flow, 30.0, 20.0);
    link.rate = 5e5;
    let (_, first) = alone(&mut link, &mut now, &mut flow, 33.0, 30.0);
    let (low, queue) = alone(&mut link, &mut now, &mut flow, 60.0, 33.0);
    link.rate = 2e6;
    let (after, _) = alone(&mut link, &mut now, &mut flow, 100.0, 90.0);
    println!("{before:.0}, queue {first} ms, {low:.0} with {queue} ms, {after:.0}");
    assert!(before > 1500.0 && after > 1500.0, "{before} and {after} kbit/s");
    assert!((350.0..510.0).contains(&low), "{low} kbit/s");
    assert!(first < 200 && queue < 60, "{first} and {queue} ms");
}

#[test]
fn two_share_a_link() {
    let mut link = Bottleneck::new(3e6);
    let (mut flows, mut now) = ([Flow::new(), Flow::new()], Duration::ZERO);
    flows[1].next = Duration::from_secs(15);
    let (rates, queue) = run(&mut flows, &mut link, &mut now, 150.0, 90.0);
    println!("{rates:?}, queue {} ms", queue.as_millis());
    assert!(rates.iter().all(|rate| (500.0..2500.0).contains(rate)), "{rates:?}");
    assert!((2000.0..3050.0).contains(&rates.iter().sum()), "{rates:?}");
}

/// Of one that fills its queue whatever happens, such as TCP, the estimator leaves most, but is not starved.
#[test]
fn a_flow_that_does_not_yield_leaves_something() {
    let mut link = Bottleneck::new(2e6);
    let mut deaf = Flow::new();
    deaf.most = 1e6;
    deaf.estimator.target = u64::MAX;
    let (mut flow, mut now) = (Flow::new(), Duration::ZERO);
    let (mut sum, mut count) = (0.0, 0.0);
    while now < Duration::from_secs(60) {
        now += Duration::from_millis(5);
        deaf.flying.clear();
        deaf.told = now;
        deaf.step(now, &mut link);
        flow.step(now, &mut link);
        if now > Duration::from_secs(25) {
            sum += flow.estimator.target() as f64 / 1000.0;
            count += 1.0;
        }
    }
    let mean = sum / count;
    println!("beside 1 Mbit/s of 2: {mean:.0} kbit/s");
    assert!((600.0..1050.0).contains(&mean), "{mean} kbit/s");
}

#[test]
fn what_the_source_does_not_send_proves_nothing() {
    let mut link = Bottleneck::new(1e7);
    let (mut flow, mut now) = (Flow::new(), Duration::ZERO);
    flow.most = 400_000.0;
    let (mean, _) = alone(&mut link, &mut now, &mut flow, 60.0, 30.0);
    assert!((550.0..650.0).contains(&mean), "{mean} kbit/s");
}

#[test]
fn reports_that_make_no_sense_do_no_harm() {
    let mut estimator = Estimator::new(start(), Bounds::DEFAULT);
    let mut random = Bottleneck::new(1.0);
    for round in 0..5000_u64 {
        let now = start() + Duration::from_millis(round * 20);
        let packets: Vec<_> = (0..10)
            .map(|_| {
                let any = random.chance() * if round % 2 == 0 { 1e18 } else { 1e6 };
                PacketReport {
                    sent: start() + Duration::from_secs_f64(random.chance() * 1000.0),
                    bytes: (random.chance() * 2000.0) as usize,
                    arrival: (random.chance() < 0.8).then_some(any as i64 - (1 << 40)),
                }
            })
            .collect();
        estimator.on_report(now, Duration::from_millis(round % 1000), packets);
        let Bounds { min, max, .. } = Bounds::DEFAULT;
        assert!((min..=max).contains(&estimator.target()));
    }
}
