//! Who stands behind a contract and where its data live: `team`, `support`, `servers`.

use std::sync::Arc;

use super::VOCABULARY;
use crate::{
    diagnostic::{Findings, Position},
    yaml::{Node, Object, Value},
};

/// `team`: an object since 3.1, a bare list of members before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Team {
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Its members, in the order of the file.
    pub members: Vec<TeamMember>,
}

impl Team {
    /// The first current member whose role is owner. Current is who has no `dateOut`: a contract means the same
    /// whenever it is read, so no clock is asked.
    #[must_use]
    pub fn owner(&self) -> Option<&Arc<str>> {
        let is_owner =
            |m: &&TeamMember| m.current && m.role.as_deref().is_some_and(|r| r.eq_ignore_ascii_case("owner"));
        self.members.iter().find(is_owner).map(|member| &member.username)
    }
}

/// A member of a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamMember {
    /// User name or e-mail address.
    pub username: Arc<str>,
    /// Role, a free text.
    pub role: Option<Arc<str>>,
    /// Whether there is no `dateOut`.
    pub current: bool,
}

/// `support`: where to talk about the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportChannel {
    /// Channel name or identifier.
    pub channel: Arc<str>,
    /// `email`, `slack`, `teams`, …
    pub tool: Option<Arc<str>>,
    /// `interactive`, `announcements`, `issues`, `notifications`.
    pub scope: Option<Arc<str>>,
    /// Where it is.
    pub url: Option<Arc<str>>,
}

/// A server of type `kafka`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaServer {
    /// Its name in the contract.
    pub server: Arc<str>,
    /// Bootstrap server.
    pub host: Arc<str>,
    /// Format of the payload: `json` unless the contract says `avro`, `protobuf` or `xml`.
    pub format: Arc<str>,
    /// Where it stands.
    pub at: Position,
}

pub(super) fn read_team(node: &Node, findings: &mut Findings<'_>) -> Team {
    if let Value::List(members) = &node.value {
        let members = members.iter().filter_map(|member| read_member(member, findings)).collect();
        return Team { name: None, members };
    }
    let Some(team) = Object::of(node, "the team", &VOCABULARY, findings) else { return Team::default() };
    let name = team.text("name", findings).map(Into::into);
    let members = team.list("members", findings).iter().filter_map(|member| read_member(member, findings)).collect();
    Team { name, members }
}

fn read_member(node: &Node, findings: &mut Findings<'_>) -> Option<TeamMember> {
    let member = Object::of(node, "a member of the team", &VOCABULARY, findings)?;
    Some(TeamMember {
        username: member.required_text("username", findings)?.into(),
        role: member.text("role", findings).map(Into::into),
        current: member.get("dateOut").is_none(),
    })
}

pub(super) fn read_support(node: &Node, findings: &mut Findings<'_>) -> Option<SupportChannel> {
    let support = Object::of(node, "a support channel", &VOCABULARY, findings)?;
    Some(SupportChannel {
        channel: support.required_text("channel", findings)?.into(),
        tool: support.text("tool", findings).map(Into::into),
        scope: support.text("scope", findings).map(Into::into),
        url: support.text("url", findings).map(Into::into),
    })
}

/// `None` for a server of another type, which is not this program's business.
pub(super) fn read_server(node: &Node, findings: &mut Findings<'_>) -> Option<KafkaServer> {
    let server = Object::of(node, "a server", &VOCABULARY, findings)?;
    let name = server.required_text("server", findings);
    let kind = server.required_text("type", findings)?;
    if kind != "kafka" {
        return None;
    }
    let format = server.text("format", findings).unwrap_or_else(|| "json".to_owned());
    if !["json", "avro", "protobuf"].contains(&format.as_str()) {
        let at = server.at_key("format");
        let finding = findings.warning("odcs-server-format", at, "payloads of this format are not judged");
        finding.help("json, avro and protobuf are");
    }
    let host = server.required_text("host", findings);
    let (server_name, host) = name.zip(host)?;
    Some(KafkaServer { server: server_name.into(), host: host.into(), format: format.into(), at: server.at })
}
