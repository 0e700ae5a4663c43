//! What the receiver's kernel has not acknowledged.

use std::fs;
use std::net::{SocketAddr, TcpStream};

/// Whether all that was written is acknowledged. Where that cannot be known (only Linux tells), it is taken to be so.
///
/// The kernel says it in its table of connections, `write_seq - snd_una` as `tx_queue` (Linux, networking/proc_net_tcp).
pub(super) fn acknowledged(socket: &TcpStream) -> bool {
    let (Ok(local), Ok(remote)) = (socket.local_addr(), socket.peer_addr()) else { return true };
    let table = if local.is_ipv4() { "/proc/thread-self/net/tcp" } else { "/proc/thread-self/net/tcp6" };
    let Ok(table) = fs::read_to_string(table) else { return true };
    queue(&table, &address(local), &address(remote)).is_none_or(|bytes| bytes == 0)
}

/// Bytes in the queue of a connection.
fn queue(table: &str, local: &str, remote: &str) -> Option<u64> {
    let fields = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ours = fields.next() == Some(local) && fields.next() == Some(remote);
        let queues = fields.nth(1).filter(|_| ours)?;
        u64::from_str_radix(queues.split(':').next()?, 16).ok()
    };
    table.lines().find_map(fields)
}

/// An address as the table has it: words of 32 bits in the byte order of the machine, and the port.
fn address(address: SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| word.try_into().map_or(0, u32::from_ne_bytes));
    let words: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{words}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    #[test]
    fn what_is_not_read_is_not_acknowledged() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut other, _) = listener.accept().unwrap();
            assert!(acknowledged(&socket));
            socket.set_nonblocking(true).unwrap();
            while socket.write(&[0; 65536]).is_ok() {}
            std::thread::sleep(Duration::from_millis(20));
            assert!(!acknowledged(&socket), "{host}");
            std::thread::spawn(move || other.read_to_end(&mut Vec::new()));
            let begun = Instant::now();
            while !acknowledged(&socket) {
                assert!(begun.elapsed() < Duration::from_secs(5));
            }
        }
    }

    #[test]
    fn tables() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr\n   \
            0: 0100007F:20CF 00000000:0000 0A 00000000:00000000 00:00000000\n   \
            1: 0100007F:ABCD 0100007F:0202 01 0000001A:00000000 01:00000014\n";
        assert_eq!(queue(table, "0100007F:ABCD", "0100007F:0202"), Some(26));
        assert_eq!(queue(table, "0100007F:ABCD", "0100007F:0203"), None);
        assert_eq!(queue("1: a b 01 x\n2: a\n\n", "a", "b"), None);
        if cfg!(target_endian = "little") {
            assert_eq!(address("127.0.0.1:514".parse().unwrap()), "0100007F:0202");
            assert_eq!(address("[::1]:514".parse().unwrap()), format!("{}01000000:0202", "0".repeat(24)));
        }
    }
}
