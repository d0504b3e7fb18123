//! Real programs talk to real servers through the real proxy, and notice nothing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use spliceway_tests::artifacts::filter;
use spliceway_tests::bytes::{digest, pattern};
use spliceway_tests::command::{beside, lasting, run, sha256_of};
use spliceway_tests::servers::{Nginx, Postgres, Redis, Sshd};
use spliceway_tests::{Proxy, Upstream, alone};

#[test]
fn redis_cli_and_redis_benchmark() {
    let _alone = alone();
    let redis = Redis::start();
    let proxy = Proxy::forward(redis.address()).start();

    assert_eq!(Redis::cli(proxy.port(), &["ping"]).success(), "PONG\n");
    // A value larger than any buffer on the way, set and read back.
    let value = "spliceway ".repeat(300_000);
    let file = proxy.folder().join("value");
    fs::write(&file, &value).expect("a file in a folder of the test's");
    let script = format!("redis-cli -p {} -x set large < {}", proxy.port(), file.display());
    assert_eq!(
        run(lasting("sh").args(["-c", &script]), Duration::from_secs(30)).success(),
        "OK\n"
    );
    assert_eq!(Redis::cli(proxy.port(), &["strlen", "large"]).success(), "3000000\n");
    assert_eq!(
        digest(
            Redis::cli(proxy.port(), &["get", "large"])
                .success()
                .trim_end_matches('\n')
                .as_bytes()
        ),
        digest(value.as_bytes())
    );

    let requests = 20_000;
    for pipelined in ["1", "16"] {
        let said = run(
            &mut Redis::benchmark(
                proxy.port(),
                &[
                    "-t",
                    "set,get",
                    "-n",
                    &requests.to_string(),
                    "-c",
                    "50",
                    "-P",
                    pipelined,
                    "-q",
                ],
            ),
            Duration::from_secs(120),
        )
        .success();
        assert!(said.contains("SET: ") && said.contains("GET: "), "{said}");
    }
    // The server's own count, so that no request was answered by anybody else.
    let stats = Redis::cli(proxy.port(), &["info", "commandstats"]).success();
    for command in ["cmdstat_get:calls=", "cmdstat_set:calls="] {
        let calls: u64 = stats
            .lines()
            .find_map(|line| line.strip_prefix(command)?.split(',').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {command} in {stats}"));
        assert_eq!(calls, 2 * requests + 1);
    }
}

#[test]
fn psql_and_pgbench_reach_the_server_that_has_their_database() {
    let _alone = alone();
    let (blue, green) = (Postgres::start(), Postgres::start());
    Postgres::psql(blue.port(), "postgres", "create database sales").success();
    Postgres::psql(green.port(), "postgres", "create database billing").success();
    let proxy = Proxy::forward(blue.address())
        .upstream("green", green.address())
        .filter_with(filter("postgres-router"), POSTGRES_ROUTES)
        .start();

    // Who answered is asked of the servers, which know their own port.
    let serving = |database: &str| {
        let said = Postgres::psql(proxy.port(), database, "select current_setting('port')").success();
        said.trim().parse::<u16>().expect("a port")
    };
    assert_eq!(serving("sales"), blue.port());
    assert_eq!(serving("billing"), green.port());
    assert_eq!(
        serving("postgres"),
        blue.port(),
        "what no rule names goes to the default"
    );

    for (database, server) in [("sales", &blue), ("billing", &green)] {
        Postgres::pgbench(proxy.port(), database, &["-i", "-q", "-s", "1"]).success();
        let said = Postgres::pgbench(proxy.port(), database, &["-n", "-c", "8", "-j", "2", "-t", "50"]).success();
        assert!(
            said.contains("number of transactions actually processed: 400/400"),
            "{said}"
        );
        assert!(said.contains("number of failed transactions: 0"), "{said}");
        // Asked directly: the history is where the routing said.
        let rows = Postgres::psql(server.port(), database, "select count(*) from pgbench_history").success();
        assert_eq!(rows.trim(), "400");
    }
    assert!(proxy.logged("filter failed").is_empty());
}

/// Database "billing" to "green", everything else to the upstream that `forward` names `default`.
const POSTGRES_ROUTES: &str = r#"{"routes": [{"database": "billing", "upstream": "green"}], "default": "default"}"#;

#[test]
fn psql_is_told_in_its_own_words_when_there_is_no_route() {
    let upstream = Upstream::listen();
    let routes = r#"{"routes": [{"database": "billing", "upstream": "default"}]}"#;
    let proxy = Proxy::forward(upstream.address())
        .filter_with(filter("postgres-router"), routes)
        .start();
    let refused = Postgres::psql(proxy.port(), "sales", "select 1");
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("no upstream for database \"sales\""),
        "{refused:?}"
    );
    assert!(!upstream.waiting(Duration::ZERO), "no server was asked");
}

#[test]
fn curl_fetches_a_gibibyte_from_nginx_unchanged_and_spliced() {
    let _alone = alone();
    let nginx = Nginx::start();
    let size: u64 = 1 << 30;
    let path = nginx.files().join("large");
    let file = File::create(&path).expect("a file in a folder of the test's");
    file.set_len(size).expect("a sparse file");
    // Each 64 KiB begins with its own place: a lost, doubled or swapped piece changes the digest, and little is stored.
    for place in (0..size).step_by(64 * 1024) {
        file.write_all_at(&(place ^ 0x5eed_5eed).to_le_bytes(), place)
            .expect("the disk has room for 64 MiB");
    }
    let proxy = Proxy::forward(nginx.address()).start();

    let expected = beside_sha256(format!("cat '{}'", path.display()));
    let got = sha256_of(&format!(
        "curl -sS --fail --max-time 120 http://{}/large",
        proxy.address()
    ));

    assert_eq!(got, expected.join().expect("sha256sum ran"));
    let transfer = proxy.all_ended(1).remove(0);
    assert!(transfer.down() > size, "{transfer:?}");
    assert!(transfer.down_spliced > size - (1 << 20), "{transfer:?}");
}

#[test]
fn curl_reuses_its_connection_and_each_answer_is_whole() {
    let nginx = Nginx::start();
    for number in 0..20 {
        let body = pattern(number, 1 + 40_000 * number as usize);
        fs::write(nginx.files().join(number.to_string()), body).expect("a file in a folder of the test's");
    }
    let proxy = Proxy::forward(nginx.address()).start();
    let folder = proxy.folder().display();
    let url = format!("http://{}/[0-19]", proxy.address());
    run(
        lasting("curl").args(["-sS", "--fail", &url, "-o", &format!("{folder}/got-#1")]),
        Duration::from_secs(60),
    )
    .success();
    for number in 0..20 {
        let got = fs::read(proxy.folder().join(format!("got-{number}"))).expect("curl wrote the file");
        assert_eq!(digest(&got), digest(&pattern(number, 1 + 40_000 * number as usize)));
    }
    assert_eq!(proxy.all_ended(1).len(), 1, "one connection for all of them");
}

#[test]
fn ssh_runs_a_command_and_scp_copies_a_file() {
    let _alone = alone();
    let sshd = Sshd::start();
    let proxy = Proxy::forward(sshd.address()).start();

    assert_eq!(
        sshd.ssh(proxy.port(), "echo through; cat /dev/null; exit 0").success(),
        "through\n"
    );
    assert_eq!(
        sshd.ssh(proxy.port(), "exit 7").code(),
        Some(7),
        "an exit code comes back"
    );
    // What comes after the end of the input: the half-close goes through the proxy inside of SSH's own.
    let script = "head -c 3000000 /dev/zero | tr '\\0' 'x'";
    assert_eq!(sshd.ssh(proxy.port(), script).success().len(), 3_000_000);

    let sent = pattern(50, 50 << 20);
    let (from, to) = (sshd.folder().join("from"), sshd.folder().join("to"));
    fs::write(&from, &sent).expect("a file in a folder of the test's");
    sshd.scp(proxy.port(), &from, &to).success();
    assert_eq!(digest(&fs::read(&to).expect("scp wrote the file")), digest(&sent));
    let transfers = proxy.all_ended(4);
    assert!(transfers[3].up() > 50 << 20, "{transfers:?}");
}

fn beside_sha256(shell_command: String) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || sha256_of(&shell_command))
}

#[test]
fn a_benchmark_through_two_workers_loses_no_request() {
    let _alone = alone();
    let redis = Redis::start();
    let proxy = Proxy::forward(redis.address()).workers(2).start();
    // A connection for each request, which is what a relay's accounting suffers most from.
    let running = beside(
        Redis::benchmark(
            proxy.port(),
            &["-t", "ping_inline", "-n", "3000", "-c", "20", "-k", "0", "-q"],
        ),
        Duration::from_secs(120),
    );
    let said = running.join().expect("redis-benchmark ran").success();
    assert!(said.contains("PING"), "{said}");
    assert!(proxy.logged("filter failed").is_empty());
}
