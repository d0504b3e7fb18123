//! The page of the admin interface in a real browser: it says what the API says, wherever and however it is looked at.

use std::fs;

use serde_json::Value;
use spliceway_tests::artifacts::guest;
use spliceway_tests::browser::{Browser, ENTER, TAB};
use spliceway_tests::ports::Port;
use spliceway_tests::{Client, Peer, Proxy, Upstream, eventually, skip};
use tempfile::TempDir;

const TOKEN: &str = "5f1c0a8f4f3f6a2d9be07c81d4e5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d";

/// A desk's window, and a phone's.
const SIZES: [(u32, u32); 2] = [(1280, 800), (360, 740)];

/// What is in the tables, row by row: the text of each cell without its note, by its column's title.
const TABLES: &str = "
    const cells = (row) => Object.fromEntries([...row.cells].map((cell) => [cell.dataset.title, cell.firstChild.textContent]));
    const rows = (table) => [...table.tBodies[0].rows].map(cells);
    return Object.fromEntries([...document.querySelectorAll('table')].map((table) => [table.id, rows(table)]));
";

/// Texts that are hard to read: less than 4.5 to 1 between them and what is behind them (WCAG 2.2, 1.4.3).
const FAINT: &str = "
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour[3] !== 0) return colour;
        }
        return [255, 255, 255];
    };
    const says = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '');
    return [...document.querySelectorAll('body *')]
        .filter((element) => says(element) && element.checkVisibility() && !element.closest('button:disabled, noscript'))
        .map((element) => {
            const [one, other] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort();
            return [element.textContent.trim().slice(0, 40), (other + 0.05) / (one + 0.05)];
        })
        .filter(([, contrast]) => contrast < 4.5);
";

#[test]
fn the_page_shows_what_the_api_says_on_a_desk_and_on_a_phone_in_light_and_in_dark() {
    let Some(browser) = Browser::start() else {
        skip!("there is no chromium with its chromedriver");
    };
    let scene = Scene::start("");
    let clients = scene.work();
    browser.look(1280, 800, "light");
    browser.open(&scene.url());
    browser.wait(
        "the figures are there",
        "return !document.getElementById('figures').hidden",
    );
    // What two looks find the same has been shown.
    let api = eventually("the page is as new as the API", || {
        let api = scene.overview();
        let (shown, all) = (browser.text("#accepted"), api["traffic"]["accepted"].to_string());
        (shown == all && browser.text("#open") == clients.len().to_string()).then_some(api)
    });
    let tables = browser.run(TABLES);
    compare(&tables, &api);
    assert_eq!(browser.text("#state"), "serving");
    assert_eq!(browser.text("#pid"), scene.proxy.pid().to_string());
    assert_eq!(browser.text("#version"), env!("CARGO_PKG_VERSION"));

    for (width, height) in SIZES {
        let mut grounds = Vec::new();
        for scheme in ["light", "dark"] {
            let look = format!("{width} by {height}, {scheme}");
            browser.look(width, height, scheme);
            let fits = "return document.scrollingElement.scrollWidth <= innerWidth";
            browser.wait(&look, &format!("return innerWidth === {width}"));
            assert_eq!(browser.run(fits), true, "{look}");
            assert_eq!(browser.run(FAINT), Value::Array(Vec::new()), "{look}");
            compare(&browser.run(TABLES), &api);
            grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
            // A head that is not shown is said by each cell.
            let heads = browser.run(
                "return [...document.querySelectorAll('#listeners td')].every((cell) =>
                    getComputedStyle(cell, '::before').content.includes(cell.dataset.title))",
            );
            assert_eq!(heads, width < 720, "{look}");
        }
        assert_ne!(grounds[0], grounds[1]);
    }
    let nothing: Vec<String> = Vec::new();
    assert_eq!(browser.complaints(), nothing);

    // Names and lines are text, whatever is in them.
    let hostile = "<img src=x onerror=\"document.title='owned'\">";
    fs::write(
        scene.proxy.folder().join("spliceway.toml"),
        format!("'{}' = 1\n", hostile),
    )
    .unwrap();
    scene.proxy.signal(rustix::process::Signal::HUP);
    browser.wait(
        "the error is shown as it is",
        "return document.getElementById('errors').innerText.includes('<img src=x onerror=')",
    );
    assert_eq!(browser.run("return document.querySelectorAll('main img').length"), 0);
    assert_ne!(browser.run("return document.title"), "owned");
    assert_eq!(browser.complaints(), nothing);
}

#[test]
fn the_page_is_used_with_the_keyboard() {
    let Some(browser) = Browser::start() else {
        skip!("there is no chromium with its chromedriver");
    };
    let scene = Scene::start("");
    let _clients = scene.work();
    browser.look(1280, 800, "light");
    browser.open(&scene.url());
    browser.wait("it can be paused", "return !document.getElementById('pause').disabled");
    browser.wait(
        "there is more to show",
        "return !document.querySelector('#recent ~ .more').hidden",
    );
    let focus = "
        const { activeElement: at } = document;
        const style = getComputedStyle(at);
        return [at.id || at.className, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]";
    let mut reached = Vec::new();
    for _ in 0..6 {
        browser.press(TAB);
        let at = browser.run(focus);
        let name = at[0].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            break;
        }
        assert_eq!(at[1], true, "{name} is seen to have the focus");
        reached.push(name.clone());
        match &*name {
            "pause" => {
                browser.press(ENTER);
                assert_eq!(
                    browser.run("return document.getElementById('pause').ariaPressed"),
                    "true"
                );
                let accepted = || scene.overview()["traffic"]["accepted"].as_u64();
                let (open, before) = (browser.text("#accepted"), accepted());
                scene.echo();
                eventually("the API says more", || (accepted() > before).then_some(()));
                assert!(browser.text("#link").starts_with("Paused"), "{}", browser.text("#link"));
                assert_eq!(browser.text("#accepted"), open);
                browser.press(ENTER);
                browser.wait(
                    "it goes on",
                    &format!("return document.getElementById('accepted').textContent !== '{open}'"),
                );
            }
            name if name.contains("more") => {
                let rows = "return document.querySelector('#recent').tBodies[0].rows.length";
                assert_eq!(browser.run(rows), 10);
                browser.press(ENTER);
                assert!(browser.run(rows).as_u64() > Some(10));
            }
            _ => {}
        }
    }
    assert_eq!(reached[..2], ["skip", "pause"], "{reached:?}");
    assert!(reached.iter().any(|name| name.contains("more")), "{reached:?}");
}

#[test]
fn the_page_says_that_the_proxy_is_gone_and_finds_it_again() {
    let Some(browser) = Browser::start() else {
        skip!("there is no chromium with its chromedriver");
    };
    let mut scene = Scene::start("");
    browser.open(&scene.url());
    browser.wait(
        "the figures are there",
        "return !document.getElementById('figures').hidden",
    );
    drop(scene.tunnel.take());
    browser.wait(
        "it is lost",
        "return document.getElementById('link').dataset.state === 'lost'",
    );
    let said = browser.text("#link");
    assert!(said.contains("The connection to the proxy is lost."), "{said}");
    scene.connect_tunnel();
    browser.wait(
        "it is back",
        "return document.getElementById('link').dataset.state === 'live'",
    );
    assert_eq!(browser.text("#link"), "");
}

#[test]
fn the_page_asks_for_a_token_and_keeps_it_for_its_tab_alone() {
    let Some(browser) = Browser::start() else {
        skip!("there is no chromium with its chromedriver");
    };
    let scene = Scene::start(TOKEN);
    browser.open(&scene.url());
    let asks = "return !document.getElementById('ask').hidden";
    browser.wait("it asks for the token", asks);
    assert_eq!(browser.run("return document.activeElement.id"), "token");
    browser.write("0123456789abcdef");
    browser.press(ENTER);
    browser.wait(
        "it says that this is wrong",
        "return document.getElementById('ask-error').textContent !== ''",
    );
    assert!(
        browser.text("#ask-error").contains("missing or wrong"),
        "{}",
        browser.text("#ask-error")
    );
    browser.write(TOKEN);
    browser.press(ENTER);
    let shows = "return !document.getElementById('figures').hidden && document.getElementById('ask').hidden";
    browser.wait("the figures are there", shows);
    assert_eq!(browser.text("#pid"), scene.proxy.pid().to_string());

    browser.open(&scene.url());
    browser.wait("it knows the token", shows);
    assert_eq!(browser.run("return localStorage.length + document.cookie.length"), 0);
    assert_eq!(browser.run("return location.href"), scene.url());
    browser.run("document.getElementById('forget').click()");
    browser.wait("it asks again", asks);
    assert_eq!(browser.run("return sessionStorage.length"), 0);
}

/// The page's tables, against what the API says.
#[track_caller]
fn compare(tables: &Value, api: &Value) {
    let listeners = api["listeners"].as_array().unwrap();
    assert_eq!(tables["listeners"].as_array().unwrap().len(), listeners.len());
    for (shown, said) in tables["listeners"].as_array().unwrap().iter().zip(listeners) {
        assert_eq!(
            (&shown["Listener"], &shown["Address"]),
            (&said["name"], &said["address"])
        );
        assert_eq!(shown["Ended"], said["connections"].to_string());
        let outcomes = said["outcomes"].as_object().unwrap().iter();
        let failed: u64 = outcomes
            .filter(|(outcome, _)| !outcome.starts_with("relay.finished."))
            .filter_map(|(_, count)| count.as_u64())
            .sum();
        assert_eq!(shown["Failed"], failed.to_string());
        assert_eq!(shown["Up"], bytes(total(&said["up"])));
    }
    for shown in tables["ways"].as_array().unwrap() {
        let way = shown["Path"].as_str().unwrap();
        for (title, direction) in [("Up, total", "up"), ("Down, total", "down")] {
            let said = api["traffic"][direction][way].as_u64().unwrap();
            assert_eq!(shown[title], bytes(said), "{way} {direction}");
        }
    }
    assert_eq!(
        tables["workers"].as_array().unwrap().len(),
        api["workers"].as_array().unwrap().len().min(8)
    );
    let upstreams = api["upstreams"].as_array().unwrap().iter();
    let mut said: Vec<_> = upstreams
        .flat_map(|upstream| upstream["servers"].as_array().unwrap())
        .map(|server| (server["address"].clone(), server["state"].clone()))
        .collect();
    said.sort_by_key(|(_, state)| state == "up");
    let shown = tables["upstreams"].as_array().unwrap().iter();
    let shown: Vec<_> = shown.map(|row| (row["Server"].clone(), row["State"].clone())).collect();
    assert_eq!(shown, said);
    let generation = &api["filters"][0]["generations"][0];
    let shown = &tables["filters"][0];
    assert_eq!(
        (&shown["Filter"], &shown["State"]),
        (&api["filters"][0]["name"], &generation["state"])
    );
    assert_eq!(shown["Generation"], generation["number"].to_string());
    assert_eq!(shown["Memory"], bytes(generation["memory_bytes"].as_u64().unwrap()));
    let ids = |part: &str| -> Vec<String> {
        let rows = tables[part].as_array().unwrap().iter();
        rows.map(|row| row["Connection"].as_str().unwrap().to_owned()).collect()
    };
    for part in ["biggest", "slowest"] {
        let said = api[part].as_array().unwrap().iter();
        let said: Vec<_> = said.map(|connection| connection["id"].to_string()).take(5).collect();
        assert_eq!(ids(part), said, "{part}");
    }
    let said = api["recent"].as_array().unwrap().iter().take(10);
    let said: Vec<_> = said
        .map(|ended| (ended["outcome"].clone(), ended["client"].clone()))
        .collect();
    let shown = tables["recent"].as_array().unwrap().iter();
    let shown: Vec<_> = shown
        .map(|row| (row["Outcome"].clone(), row["Client"].clone()))
        .collect();
    assert_eq!(shown, said);
}

fn total(moved: &Value) -> u64 {
    ["copied", "spliced", "filtered"]
        .iter()
        .filter_map(|path| moved[path].as_u64())
        .sum()
}

/// As the page writes them.
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    if count < 1024 {
        return format!("{count} B");
    }
    for unit in ["KiB", "MiB"] {
        value /= 1024.0;
        if value < 1024.0 {
            let digits = usize::from(value < 99.95);
            return format!("{value:.digits$} {unit}");
        }
    }
    unreachable!("no test moves as much")
}

// ---- the scenes ----

/// A proxy in front of an echo, with a filter, and a server that is not there. Its admin interface is a unix socket, reached
/// through another proxy as through `ssh -L`; or has a token.
struct Scene {
    proxy: Proxy,
    admin: String,
    port: Port,
    tunnel: Option<Proxy>,
    _server: Upstream,
    _folder: TempDir,
}

impl Scene {
    fn start(token: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("token");
        fs::write(&file, format!("{token}\n")).expect("a file in a temporary folder");
        let admin = match token {
            "" => format!("listen = \"unix:{}\"", folder.path().join("admin.sock").display()),
            _ => format!("listen = \"127.0.0.1:0\"\ntoken-file = \"{}\"", file.display()),
        };
        let server = Upstream::echo();
        let listener =
            |name: &str, keys: &str| format!("[[listeners]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\n{keys}\n");
        let proxy = Proxy::run(&format!(
            "workers = 2\n[admin]\n{admin}\n[upstreams.app]\nservers = [\"{}\"]\n[upstreams.gone]\nservers = [\"127.0.0.1:1\"]\n\
             passive = {{ failures = 1, ejection = \"1h\", longest-ejection = \"1h\" }}\n\
             [filters.look]\nsource = \"{}\"\n{}{}{}",
            server.address(),
            guest("inspector-pass").display(),
            listener("front", "upstream = \"app\""),
            listener("watched", "upstream = \"app\"\nfilters = [\"look\"]"),
            listener("nowhere", "upstream = \"gone\""),
        ))
        .start();
        let served = proxy.wait_for("admin interface is served", |_| true);
        let mut scene = Self {
            admin: served.text("address").to_owned(),
            proxy,
            port: Port::reserve(),
            tunnel: None,
            _server: server,
            _folder: folder,
        };
        if token.is_empty() {
            scene.connect_tunnel();
        }
        scene
    }

    fn connect_tunnel(&mut self) {
        let listen = format!("127.0.0.1:{}", self.port.number());
        self.tunnel = Some(Proxy::forward_from(listen, &self.admin).start());
    }

    fn url(&self) -> String {
        match &self.tunnel {
            Some(tunnel) => format!("http://localhost:{}/", tunnel.port()),
            None => format!("http://{}/", self.admin),
        }
    }

    /// Connections of all kinds. Those that are returned are open, and nothing moves on them any more.
    fn work(&self) -> Vec<Peer> {
        const BULK: usize = 3 << 20;
        let mut bulk = Client::connect(self.proxy.listener("front"));
        let mut sender = bulk.another();
        let sending = std::thread::spawn(move || sender.send(&vec![b'x'; BULK]));
        bulk.receive(BULK);
        sending.join().unwrap();
        let mut watched = Client::connect(self.proxy.listener("watched"));
        watched.send(b"hello");
        watched.expect(b"hello");
        for _ in 0..3 {
            Client::connect(self.proxy.listener("nowhere")).expect_closed();
        }
        (0..12).for_each(|_| self.echo());
        vec![bulk, watched]
    }

    fn echo(&self) {
        let mut client = Client::connect(self.proxy.listener("front"));
        client.send(b"hello");
        client.expect(b"hello");
        client.half_close();
        client.expect_eof();
        self.proxy.ended(&client);
    }

    fn overview(&self) -> Value {
        let mut client = Client::connect(&self.admin);
        client.send(b"GET /v1/overview HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8(client.receive_all()).expect("an answer in UTF-8");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).expect("it is JSON")
    }
}
