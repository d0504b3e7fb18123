//! The demo's clients.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// Nothing in the demo takes this long, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Sends so many bytes, ends its side, and hears how many arrived.
pub(super) fn send_bulk(address: SocketAddr, bytes: u64) -> anyhow::Result<()> {
    let mut socket = connect(address)?;
    let mut data = io::repeat(b'B').take(bytes);
    let mut chunk = vec![0; 1 << 20];
    loop {
        match data.read(&mut chunk)? {
            0 => break,
            read => socket.write_all(&chunk[..read])?,
        }
    }
    socket.shutdown(Shutdown::Write)?;
    let mut arrived = [0; 8];
    socket.read_exact(&mut arrived)?;
    ensure!(u64::from_be_bytes(arrived) == bytes, "bytes were lost");
    Ok(())
}

/// Opens a session as psql does, asking for TLS first; then sends a large message. The name of the server that answered.
pub(super) fn postgres_session(address: SocketAddr, database: &str, payload: usize) -> anyhow::Result<String> {
    let mut socket = connect(address)?;
    // SSLRequest: its length, and the code 80877103.
    socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])?;
    let mut answer = [0];
    socket.read_exact(&mut answer)?;
    ensure!(answer == *b"N", "the answer to SSLRequest is {answer:?}");

    let parameters = format!("user\0demo\0database\0{database}\0\0");
    let mut startup = (parameters.len() as u32 + 8).to_be_bytes().to_vec();
    startup.extend(196_608_u32.to_be_bytes());
    startup.extend(parameters.as_bytes());
    socket.write_all(&startup)?;

    let mut input = BufReader::new(socket.try_clone()?);
    let mut name = None;
    loop {
        let (kind, content) = message(&mut input)?;
        match kind {
            b'S' => name = content.split(|byte| *byte == 0).nth(1).map(<[u8]>::to_vec),
            b'E' => bail!("the session was refused: {}", String::from_utf8_lossy(&content)),
            b'Z' => break,
            _ => {}
        }
    }
    let mut data = vec![b'd'];
    data.extend((payload as u32 + 4).to_be_bytes());
    data.resize(payload + 5, b'x');
    socket.write_all(&data)?;
    message(&mut input)?;
    socket.write_all(&[b'X', 0, 0, 0, 4])?;
    let name = name.context("the server did not say its name")?;
    Ok(String::from_utf8(name)?)
}

fn message(input: &mut impl Read) -> anyhow::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    input.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let size = u32::from_be_bytes(length)
        .checked_sub(4)
        .context("a message with no room for its length")?;
    let mut content = vec![0; size as usize];
    input.read_exact(&mut content)?;
    Ok((kind, content))
}

pub(super) struct Redis {
    socket: TcpStream,
    input: BufReader<TcpStream>,
}

impl Redis {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = connect(address)?;
        let input = BufReader::new(socket.try_clone()?);
        Ok(Self { socket, input })
    }

    pub(super) fn ping(&mut self) -> io::Result<bool> {
        self.socket.write_all(b"*1\r\n$4\r\nPING\r\n")?;
        Ok(self.line()? == "+PONG\r\n")
    }

    pub(super) fn set(&mut self, size: usize) -> anyhow::Result<()> {
        let mut command = format!("*3\r\n$3\r\nSET\r\n$4\r\ndemo\r\n${size}\r\n").into_bytes();
        command.resize(command.len() + size, b'x');
        command.extend(b"\r\n");
        self.socket.write_all(&command)?;
        ensure!(self.line()? == "+OK\r\n", "SET was not answered");
        Ok(())
    }

    /// Whether it was let through.
    pub(super) fn flushall(&mut self) -> io::Result<bool> {
        self.socket.write_all(b"*1\r\n$8\r\nFLUSHALL\r\n")?;
        match self.line() {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            line => Ok(line?.starts_with('+')),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.input.read_line(&mut line)?;
        Ok(line)
    }
}
