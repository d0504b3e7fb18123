//! Two small servers, blue and green. Each speaks as much of PostgreSQL and of Redis as the demo asks of it, and takes bulk
//! from anybody who says `BULK`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

pub(super) struct Servers {
    pub blue: SocketAddr,
    pub green: SocketAddr,
}

pub(super) fn start() -> io::Result<Servers> {
    Ok(Servers {
        blue: serve("blue")?,
        green: serve("green")?,
    })
}

fn serve(name: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            // A client that goes away in the middle is no affair of the server's.
            thread::spawn(move || answer(name, socket));
        }
    });
    Ok(address)
}

fn answer(name: &str, socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut reply = socket.try_clone()?;
    let mut input = BufReader::with_capacity(1 << 20, socket);
    match input.fill_buf()?.first() {
        Some(b'*') => redis(&mut input, &mut reply),
        Some(b'B') => bulk(&mut input, &mut reply),
        Some(_) => postgres(name, &mut input, &mut reply),
        None => Ok(()),
    }
}

/// Takes everything, and says how much it was.
fn bulk(input: &mut impl BufRead, reply: &mut impl Write) -> io::Result<()> {
    let taken = io::copy(input, &mut io::sink())?;
    reply.write_all(&taken.to_be_bytes())
}

/// RESP arrays of bulk strings (the Redis serialization protocol): every command is answered with what it would like to hear.
fn redis(input: &mut impl BufRead, reply: &mut impl Write) -> io::Result<()> {
    while let Some(arguments) = number(input, b'*')? {
        let mut command = Vec::new();
        for argument in 0..arguments {
            let length = number(input, b'$')?.unwrap_or(0);
            let mut content = input.by_ref().take(length);
            match argument {
                0 => content.read_to_end(&mut command).map(|_| ())?,
                _ => io::copy(&mut content, &mut io::sink()).map(|_| ())?,
            }
            io::copy(&mut input.by_ref().take(2), &mut io::sink())?;
        }
        match command.to_ascii_uppercase().as_slice() {
            b"PING" => reply.write_all(b"+PONG\r\n")?,
            b"COMMAND" => reply.write_all(b"*0\r\n")?,
            _ => reply.write_all(b"+OK\r\n")?,
        }
    }
    Ok(())
}

fn number(input: &mut impl BufRead, mark: u8) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    if input.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = line
        .strip_prefix(&[mark])
        .and_then(|rest| std::str::from_utf8(rest).ok());
    let number = text.and_then(|text| text.trim_end().parse().ok());
    number.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The start of a session (PostgreSQL's frontend/backend protocol, version 3): everybody is let in, and told the server's name.
fn postgres(name: &str, input: &mut impl Read, reply: &mut impl Write) -> io::Result<()> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let mut startup = vec![0; (u32::from_be_bytes(length) as usize).clamp(4, 10_000) - 4];
    input.read_exact(&mut startup)?;
    let mut hello = message(b'R', &[0, 0, 0, 0]);
    hello.extend(message(b'S', format!("application_name\0{name}\0").as_bytes()));
    hello.extend(message(b'Z', b"I"));
    reply.write_all(&hello)?;
    // The rest of the session is somebody's data: taken, and refused in words that psql shows.
    let mut kind = [0];
    while input.read(&mut kind)? == 1 {
        input.read_exact(&mut length)?;
        let size = u64::from(u32::from_be_bytes(length)).max(4) - 4;
        io::copy(&mut input.take(size), &mut io::sink())?;
        let mut answer = Vec::new();
        match kind[0] {
            b'X' => return Ok(()),
            b'Q' => {
                let text = format!("SERROR\0C0A000\0Mthis is the demo's server {name}: it knows no SQL\0\0");
                answer.extend(message(b'E', text.as_bytes()));
                answer.extend(message(b'Z', b"I"));
            }
            _ => answer.extend(message(b'Z', b"I")),
        }
        reply.write_all(&answer)?;
    }
    Ok(())
}

fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend((content.len() as u32 + 4).to_be_bytes());
    message.extend(content);
    message
}
