//! TURN servers that send us to others, or relay one family alone; over UDP, TCP and TLS.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use common::{configuration, negotiate, next_channel, soon};
use peerline::{
    Configuration, DataChannelInit, Endpoint, IceCandidateError, IceGatheringState, IceServer, IceTransportPolicy,
    Message, PeerConnection, PeerEvent, TlsConfig, default_provider,
};
use peerline_stun::attribute::{
    AdditionalAddressFamily, ErrorCode, Lifetime, RequestedAddressFamily, XorMappedAddress, XorRelayedAddress,
};
use peerline_stun::{Attribute, MessageBuilder, Method};
use peerline_turn::server::{Redirect, StaticUsers};
use peerline_turn::{Credentials, PeerFilter};
use peerline_turn_server::{Config, TurnServer};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

const LOCALHOST: &str = "127.0.0.1:0";

/// A certificate for a name: what a server needs, and whoever is to trust it.
struct Certified {
    server: Arc<rustls::ServerConfig>,
    certificate: rustls::pki_types::CertificateDer<'static>,
}

fn certified(name: &str) -> Certified {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let builder = rustls::ServerConfig::builder_with_provider(default_provider());
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let certificate = made.cert.der().clone();
    let server = builder
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into());
    Certified {
        server: Arc::new(server.expect("a certificate and its key")),
        certificate,
    }
}

fn trusting(certified: &[&Certified]) -> Arc<TlsConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for one in certified {
        roots.add(one.certificate.clone()).expect("a root");
    }
    let builder = TlsConfig::builder_with_provider(default_provider());
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Over UDP and TCP at one port, over TLS at another.
fn server(certified: &Certified, redirect: Option<Redirect>) -> TurnServer {
    let mut config = Config::new("example.org");
    config.listen = vec![LOCALHOST.parse().expect("an address")];
    config.listen_tls = config.listen.clone();
    config.tls = Some(Arc::clone(&certified.server));
    config.turn.filter = PeerFilter::default().allow("127.0.0.0/8".parse().expect("a range"));
    config.turn.redirect = redirect;
    let users = StaticUsers::new([Credentials::new("alice", "wonderland")]);
    TurnServer::bind(config, users).expect("a server")
}

fn url(server: &TurnServer, transport: &str) -> String {
    match transport {
        "tls" => format!("turns:localhost:{}", server.tls_addresses()[0].port()),
        _ => format!("turn:{}?transport={transport}", server.addresses()[0]),
    }
}

/// How many allocations it has made.
async fn made(server: &TurnServer) -> u64 {
    server.stats().await.expect("it runs").turn.allocations_made
}

/// Until it has allocations, and relays, or neither.
async fn serves(server: &TurnServer, expected: bool) {
    soon("allocations", async {
        loop {
            let stats = server.stats().await.expect("it runs");
            if [stats.turn.allocations, stats.relays].map(|count| count > 0) == [expected; 2] {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn redirect_to(to: SocketAddr, domain: Option<&str>) -> Redirect {
    Redirect {
        to: vec![to],
        domain: domain.map(str::to_owned),
        from_allocations: 0,
    }
}

fn relayed(url: String, tls: &Arc<TlsConfig>) -> Configuration {
    Configuration {
        ice_servers: vec![IceServer::turn(url, "alice", "wonderland")],
        ice_transport_policy: IceTransportPolicy::Relay,
        turn_tls: Some(Arc::clone(tls)),
        ..configuration()
    }
}

/// What a connection gathers: candidates, errors, and how often that was complete.
async fn gather(configuration: Configuration) -> (Vec<String>, Vec<IceCandidateError>) {
    let pc = PeerConnection::new(configuration).await.expect("a connection");
    pc.create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    pc.set_local_description(None).expect("it is set");
    let (mut candidates, mut errors) = (Vec::new(), Vec::new());
    loop {
        match soon("gathering", pc.next_event()).await.expect("an event") {
            PeerEvent::IceCandidate(Some(candidate)) => candidates.push(candidate.candidate),
            PeerEvent::IceCandidateError(error) => errors.push(error),
            PeerEvent::IceGatheringState(IceGatheringState::Complete) => return (candidates, errors),
            _ => {}
        }
    }
}

/// Two of them connect, and a message goes through.
async fn meet(alice: Configuration, bob: Configuration) {
    let (alice, bob) = (
        PeerConnection::new(alice).await.expect("a connection"),
        PeerConnection::new(bob).await.expect("a connection"),
    );
    let channel = alice
        .create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    negotiate(&alice, &bob).await;
    soon("it opens", channel.opened()).await.expect("it opens");
    channel.send("over there").await.expect("it is sent");
    let there = next_channel(&bob).await;
    assert_eq!(soon("a message", there.recv()).await, Some(Message::from("over there")));
    let pair = alice
        .sctp()
        .and_then(|sctp| sctp.transport().ice_transport().selected_candidate_pair());
    assert!(pair.expect("a pair").local.candidate.contains(" typ relay "));
}

#[tokio::test]
async fn a_server_that_names_another_is_left_for_it_over_every_transport() {
    let (here, there) = (certified("localhost"), certified("turn.example.org"));
    let tls = trusting(&[&here, &there]);
    let second = server(&there, None);
    for (transport, to, domain) in [
        ("udp", second.addresses()[0], None),
        ("tcp", second.addresses()[0], None),
        ("tls", second.tls_addresses()[0], Some("turn.example.org")),
    ] {
        let first = server(&here, Some(redirect_to(to, domain)));
        let configuration = || relayed(url(&first, transport), &tls);
        let before = made(&second).await;
        meet(configuration(), configuration()).await;
        assert_eq!(
            (made(&first).await, made(&second).await),
            (0, before + 2),
            "{transport}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_named_has_to_prove_its_name() {
    let (here, there) = (certified("localhost"), certified("turn.example.org"));
    let tls = trusting(&[&here, &there]);
    let second = server(&there, None);
    let to = second.tls_addresses()[0];
    // "If the attribute is not found, the same domain that was used for the original request MUST be used" (RFC 8489 §10).
    for (domain, text) in [
        (None, "no TLS handshake with it"),
        (Some("other.example.org"), "no TLS handshake with it"),
        (Some("127.0.0.1"), "fits no certificate"),
    ] {
        let first = server(&here, Some(redirect_to(to, domain)));
        let (candidates, errors) = gather(relayed(url(&first, "tls"), &tls)).await;
        assert_eq!(candidates, [""; 0]);
        let texts: Vec<&str> = errors.iter().map(|error| &*error.text).collect();
        assert!(texts.len() == 1 && texts[0].contains(text), "{domain:?}: {texts:?}");
    }
    assert_eq!(made(&second).await, 0);
}

#[tokio::test]
async fn servers_that_name_each_other_are_left() {
    let here = certified("localhost");
    let tls = trusting(&[&here]);
    // Each has to know where the other is before it is there.
    let free = std::net::TcpListener::bind(LOCALHOST).expect("a port");
    let place = free.local_addr().expect("an address");
    let first = server(&here, Some(redirect_to(place, None)));
    drop(free);
    let mut config = Config::new("example.org");
    config.listen = vec![place];
    config.turn.redirect = Some(redirect_to(first.addresses()[0], None));
    let users = StaticUsers::new([Credentials::new("alice", "wonderland")]);
    let _second = TurnServer::bind(config, users).expect("a server");
    for (transport, text) in [("udp", "names another one"), ("tcp", "from one to the other")] {
        let (candidates, errors) = gather(relayed(url(&first, transport), &tls)).await;
        assert_eq!(candidates, [""; 0]);
        let texts: Vec<&str> = errors.iter().map(|error| &*error.text).collect();
        assert!(texts.len() == 1 && texts[0].contains(text), "{transport}: {texts:?}");
    }
}

/// A way to a server that can be cut: where it begins, and how often it was taken.
struct Way {
    place: SocketAddr,
    taken: watch::Receiver<usize>,
    cut: watch::Sender<()>,
}

async fn way_to(server: SocketAddr) -> Way {
    let listener = TcpListener::bind(LOCALHOST).await.expect("a socket");
    let place = listener.local_addr().expect("an address");
    let (count, taken) = watch::channel(0);
    let (cut, cuts) = watch::channel(());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.send_modify(|count| *count += 1);
            let mut cuts = cuts.clone();
            cuts.mark_unchanged();
            tokio::spawn(async move {
                let mut there = TcpStream::connect(server).await.expect("a server");
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut stream, &mut there) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    });
    Way { place, taken, cut }
}

#[tokio::test]
async fn a_server_that_is_no_longer_configured_is_not_connected_to_again() {
    let server = server(&certified("localhost"), None);
    let [mut removed, mut kept] = [way_to(server.addresses()[0]).await, way_to(server.addresses()[0]).await];
    let with = |ways: &[&Way]| Configuration {
        ice_servers: (ways.iter())
            .map(|way| IceServer::turn(format!("turn:{}?transport=tcp", way.place), "alice", "wonderland"))
            .collect(),
        ..configuration()
    };
    let pc = PeerConnection::new(with(&[&removed, &kept]))
        .await
        .expect("a connection");
    pc.create_data_channel("", DataChannelInit::default())
        .expect("a channel");
    pc.set_local_description(None).expect("it is set");
    soon("candidates", pc.gathering_complete()).await;
    assert_eq!(made(&server).await, 2);
    pc.set_configuration(&with(&[&kept])).expect("good servers");
    // Whoever is connected to again is so after half a second, and after a second: the one that is cut first would be the first.
    removed.cut.send_replace(());
    for times in 2..=3 {
        kept.cut.send_replace(());
        soon("another connection", kept.taken.wait_for(|taken| *taken == times))
            .await
            .expect("it listens");
        soon("another relay", async {
            while made(&server).await < times as u64 + 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    assert_eq!(*removed.taken.borrow_and_update(), 1);
    pc.close();
}

/// What was gathered in advance is nobody's yet: with other servers it is given back, connections included, and gathered anew.
#[tokio::test]
async fn a_pool_of_other_servers_is_given_back() {
    let certified = certified("localhost");
    let tls = trusting(&[&certified]);
    for transport in ["udp", "tcp", "tls"] {
        let [old, new] = [server(&certified, None), server(&certified, None)];
        let with = |server: &TurnServer| Configuration {
            ice_candidate_pool_size: 1,
            ..relayed(url(server, transport), &tls)
        };
        let pc = PeerConnection::new(with(&old)).await.expect("a connection");
        serves(&old, true).await;
        pc.set_configuration(&with(&new)).expect("good servers");
        pc.create_data_channel("", DataChannelInit::default())
            .expect("a channel");
        pc.set_local_description(None).expect("it is set");
        soon("candidates", pc.gathering_complete()).await;
        serves(&old, false).await;
        serves(&new, true).await;
        assert_eq!((made(&old).await, made(&new).await), (1, 1), "{transport}");
        let sdp = pc.local_description().expect("it was set").sdp;
        assert_eq!(sdp.matches(" typ relay ").count(), 1, "{transport}: {sdp}");
        pc.close();
    }
}

#[tokio::test]
async fn connections_of_an_endpoint_are_relayed_over_every_transport() {
    let here = certified("localhost");
    let tls = trusting(&[&here]);
    let server = server(&here, None);
    let endpoint = Endpoint::bind(LOCALHOST.parse().expect("an address")).expect("an endpoint");
    for transport in ["udp", "tcp", "tls"] {
        let at = || Configuration {
            endpoint: Some(endpoint.clone()),
            ..relayed(url(&server, transport), &tls)
        };
        meet(at(), at()).await;
    }
}

/// It has relayed addresses of IPv6 alone, and knows no ADDITIONAL-ADDRESS-FAMILY: "If the REQUESTED-ADDRESS-FAMILY attribute is absent
/// and the server does not support the IPv4 address family, the server MUST include an ERROR-CODE attribute with the 440" (RFC 8656
/// §7.2).
#[tokio::test]
async fn a_server_of_one_family_gives_what_it_has() {
    let socket = UdpSocket::bind(LOCALHOST).await.expect("a socket");
    let url = format!("turn:{}", socket.local_addr().expect("an address"));
    let asked = tokio::spawn(async move {
        let (mut buffer, mut asked) = ([0; 1500], Vec::new());
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await.expect("a request");
            let request = peerline_stun::Message::parse(&buffer[..len]).expect("a message");
            assert_eq!(request.method(), Method::ALLOCATE);
            let is_for_six = request.contains(RequestedAddressFamily::TYPE);
            asked.push((is_for_six, request.contains(AdditionalAddressFamily::TYPE)));
            let mut answer = Vec::new();
            if is_for_six {
                MessageBuilder::success(&mut answer, &request)
                    .attribute(XorRelayedAddress("[2001:db8::5]:50000".parse().expect("an address")))
                    .attribute(XorMappedAddress(from))
                    .attribute(Lifetime(600));
            } else {
                MessageBuilder::error(&mut answer, &request, ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
            }
            socket.send_to(&answer, from).await.expect("it is sent");
            if is_for_six {
                return asked;
            }
        }
    });
    let (candidates, errors) = gather(relayed(url, &trusting(&[]))).await;
    assert!(errors.is_empty(), "{errors:?}");
    let [candidate] = &candidates[..] else {
        panic!("{candidates:?}")
    };
    assert!(candidate.contains(" 2001:db8::5 50000 typ relay "), "{candidate}");
    assert_eq!(asked.await.expect("it answers"), [(false, true), (true, false)]);
}
