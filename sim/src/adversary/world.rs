//! How the world treats adversaries: it does what they want, and reads for them whatever comes.

use super::{Adversary, Deed};
use crate::{
    network::Notice,
    node::Brain,
    world::{Happening, World},
};
use rustor_core::time::Duration;

/// What an adversary reads at once.
const READ: u32 = 256 << 10;

impl World {
    /// An adversary's time has come.
    pub(crate) fn scheme(&mut self, node: usize) {
        let Some(adversary) = self.adversary(node) else { return };
        let deeds = adversary.tick();
        self.commit(node, deeds);
        self.agenda.after(Duration::from_secs(1), node, Happening::Adversary(node));
    }

    /// An adversary hears of another node.
    pub(crate) fn betray(&mut self, node: usize, to: usize) {
        let addresses: Vec<_> = self.network.addresses(node).collect();
        if let Some(adversary) = self.adversary(to) {
            addresses.into_iter().for_each(|address| adversary.learn(address));
        }
    }

    /// Something happens to an adversary.
    pub(crate) fn tempt(&mut self, node: usize, notice: Notice) {
        let Some(adversary) = self.adversary(node) else { return };
        let (deeds, reads) = match notice {
            Notice::Incoming { end, .. } => {
                let socket = adversary.name(Some(end), None);
                self.network.accept(end, socket, &mut self.agenda);
                (Vec::new(), Some(socket))
            }
            Notice::Connected { socket, result, .. } => (adversary.connected(socket, result), result.is_ok().then_some(socket)),
            Notice::Read { socket, result, .. } => match result {
                Ok(data) => {
                    let more = !data.is_empty();
                    (adversary.heard(socket, data), more.then_some(socket))
                }
                Err(_) => (vec![Deed::Close(socket)], None),
            },
            Notice::Written { .. } | Notice::Datagram { .. } => (Vec::new(), None),
        };
        self.commit(node, deeds);
        let end = reads.and_then(|socket| self.adversary(node)?.sockets.get(&socket)?.end);
        if let Some(end) = end {
            self.network.read(end, READ, &mut self.agenda);
        }
    }

    fn commit(&mut self, node: usize, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Connect(socket, address) => {
                    let end = self.network.connect(node, socket, address, &mut self.agenda);
                    if let Some(victim) = self.adversary(node).and_then(|adversary| adversary.sockets.get_mut(&socket)) {
                        victim.end = end;
                    }
                }
                Deed::Write(socket, bytes) => {
                    let end = self.adversary(node).and_then(|adversary| adversary.sockets.get(&socket)?.end);
                    if let Some(end) = end {
                        self.network.write(end, [bytes], &mut self.agenda);
                    }
                }
                Deed::Close(socket) => {
                    let victim = self.adversary(node).and_then(|adversary| adversary.sockets.remove(&socket));
                    if let Some(end) = victim.and_then(|victim| victim.end) {
                        self.network.close(end, &mut self.agenda);
                    }
                }
            }
        }
    }

    fn adversary(&mut self, node: usize) -> Option<&mut Adversary> {
        match &mut self.nodes[node].brain {
            Brain::Adversary(adversary) => Some(adversary),
            _ => None,
        }
    }
}
