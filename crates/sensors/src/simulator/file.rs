//! File events (record 500), file malware events (502) and malware events of endpoints (125).

use super::dice::Dice;
use super::flow::Flow;
use super::names::{self, Service};
use super::template::{Template, fields};
use super::world::{FileItem, World};
use super::{Generated, Moment, SimulatorError};
use wire::event::Event;

/// File actions.
const DETECT: u8 = 1;
const CLOUD_LOOKUP: u8 = 3;
const MALWARE_BLOCK: u8 = 4;

/// Disposition of a malware file.
pub(crate) const MALWARE: u8 = 3;

/// The largest file that is stored, in bytes.
const STORED: u32 = 1 << 20;

fields!(Fields {
    device = "deviceId",
    instance = "connectionInstance",
    counter = "connectionCounter",
    connection_second = "connectionTimestamp",
    second = "fileEventTimestamp",
    source = "sourceIpAddress",
    destination = "destinationIpAddress",
    disposition = "disposition",
    spero = "speroDisposition",
    storage = "fileStorageStatus",
    analysis = "fileAnalysisStatus",
    local_analysis = "localMalwareAnalysisStatus",
    archive = "archiveFileStatus",
    score = "threatScore",
    action = "action",
    sha = "shaHash",
    kind = "fileTypeId",
    name = "fileName",
    size = "fileSize",
    direction = "direction",
    application = "applicationId",
    user = "userId",
    uri = "uri",
    signature = "signature",
    source_port = "sourcePort",
    destination_port = "destinationPort",
    protocol = "protocol",
    policy = "accessControlPolicyUuid",
    source_country = "sourceCountry",
    destination_country = "destinationCountry",
    web_application = "webApplicationId",
    client = "clientApplicationId",
    response = "httpResponse",
    ingress_vrf = "ingressVRF",
    egress_vrf = "egressVRF",
});

fields!(MalwareFields {
    agent = "agentUuid",
    cloud = "cloudUuid",
    second = "malwareEventTimestamp",
    kind = "eventTypeId",
    subtype = "eventSubtypeId",
    detector = "detectorId",
    detection = "detectionName",
    user_name = "user",
    name = "fileName",
    path = "filePath",
    sha = "fileShaHash",
    size = "fileSize",
    file_kind = "fileType",
    file_second = "fileTimestamp",
    parent_name = "parentFileName",
    parent_sha = "parentShaHash",
    description = "eventDescription",
    source = "sourceIpAddress",
    user = "userId",
    disposition = "disposition",
    action = "action",
    score = "threatScore",
    indication = "iocNumber",
});

/// Writes file and malware events.
#[derive(Debug)]
pub(crate) struct FileWriter {
    file: Template,
    malware_file: Template,
    fields: Fields,
    malware: Template,
    malware_fields: MalwareFields,
}

impl FileWriter {
    pub(crate) fn new() -> Result<FileWriter, SimulatorError> {
        // File events and file malware events are the same block.
        let (file, malware_file) = (Template::new(&Event::new(500)?)?, Template::new(&Event::new(502)?)?);
        let malware = Template::new(&Event::new(125)?)?;
        Ok(FileWriter {
            fields: Fields::of(&file)?,
            file,
            malware_file,
            malware_fields: MalwareFields::of(&malware)?,
            malware,
        })
    }

    /// Writes the event of a file that was sent in a flow.
    pub(crate) fn write(
        &mut self,
        world: &World,
        flow: &Flow,
        file: &FileItem,
        upload: bool,
        dice: &mut Dice,
        out: &mut Generated,
    ) {
        let malware = file.disposition == MALWARE;
        let (t, f) = (if malware { &mut self.malware_file } else { &mut self.file }, &self.fields);
        t.uint(f.device, flow.device.id);
        t.uint(f.instance, flow.instance);
        t.uint(f.counter, flow.counter);
        t.uint(f.connection_second, flow.first);
        t.uint(f.second, flow.last);
        t.octets(f.source, &flow.initiator.address);
        t.octets(f.destination, &flow.responder.address);
        t.uint(f.source_port, flow.initiator_port);
        t.uint(f.destination_port, flow.responder_port);
        t.uint(f.protocol, flow.protocol());
        let disposition = &world.terms.dispositions[usize::from(file.disposition) - 1];
        t.uint(f.disposition, disposition.id);
        t.octets(f.sha, &file.sha);
        t.uint(f.kind, file.kind.id);
        t.uint(f.size, file.size);
        t.text(f.name, [file.name.as_bytes()]);
        t.uint(f.direction, if upload { 2u8 } else { 1 });
        t.uint(
            f.action,
            match file.disposition {
                MALWARE => MALWARE_BLOCK,
                2 => CLOUD_LOOKUP,
                _ => DETECT,
            },
        );
        out.refers.extend([file.meta, file.kind.meta, disposition.meta]);
        if malware {
            t.text(f.signature, [file.detection.as_bytes()]);
            t.uint(f.score, dice.range(70, 100));
            t.uint(f.spero, disposition.id);
            t.uint(f.local_analysis, 1u8);
        }
        let storage = &world.terms.storages[usize::from(file.size > STORED)];
        let (sandbox, analysis) = &world.terms.analyses[if malware { dice.below(2) as usize } else { 2 }];
        t.uint(f.storage, storage.id);
        t.uint(f.analysis, analysis.id);
        out.refers.extend([storage.meta, sandbox.meta, analysis.meta]);
        if file.name.ends_with(".zip") {
            let archive = &world.terms.archives[0];
            t.uint(f.archive, archive.id);
            out.refers.push(archive.meta);
        }
        t.uint(f.application, world.applications(flow.service).server.id);
        t.uint(f.client, flow.client(world).id);
        t.uint(f.user, flow.user(world).map_or(0, |user| user.id));
        t.uint(f.web_application, flow.website.map_or(0, |site| site.application.id));
        // What decides about files is the file policy: its id stands here, and record 530 names it.
        t.octets(f.policy, &flow.policy.file);
        let (source_country, destination_country) = flow.countries();
        t.uint(f.source_country, source_country);
        t.uint(f.destination_country, destination_country);
        if flow.service == Service::Http {
            t.text(f.uri, [b"http://", flow.asked.as_bytes(), file.path.as_bytes()]);
            if !malware {
                t.uint(f.response, 200u32);
            }
        }
        t.text(f.ingress_vrf, [b"Global"]);
        t.text(f.egress_vrf, [b"Global"]);
        out.push(t);
    }

    /// Writes what an endpoint agent found.
    pub(crate) fn endpoint(&mut self, world: &World, moment: Moment, dice: &mut Dice, out: &mut Generated) {
        let (t, f) = (&mut self.malware, &self.malware_fields);
        let terms = &world.terms;
        let host = dice.pick(&world.workstations);
        let file = &world.files[*dice.pick(&world.malware)];
        let parent = dice.pick(&world.files);
        let kind = dice.pick(&terms.malware_events);
        let subtype = dice.pick(&terms.malware_subtypes);
        let detector = dice.pick(&terms.detectors);
        let disposition = &terms.dispositions[usize::from(MALWARE) - 1];
        // Executed or not is what the two indications for malware differ in.
        let indication = &terms.indications[if subtype.id == 2 { 2 } else { 1 }];
        t.octets(f.agent, &host.agent);
        t.octets(f.cloud, &terms.cloud.0);
        t.uint(f.second, moment.second);
        t.uint(f.kind, kind.id);
        t.uint(f.subtype, subtype.id);
        t.uint(f.detector, detector.id);
        t.text(f.detection, [file.detection.as_bytes()]);
        t.text(f.name, [file.name.as_bytes()]);
        t.text(f.sha, [file.hex.as_bytes()]);
        t.uint(f.size, file.size);
        t.uint(f.file_kind, file.endpoint_kind.id);
        t.uint(f.file_second, moment.second.saturating_sub(dice.below(600)));
        t.text(f.parent_name, [parent.name.as_bytes()]);
        t.text(f.parent_sha, [parent.hex.as_bytes()]);
        t.text(f.description, [host.name.as_bytes(), b": ", file.detection.as_bytes()]);
        t.octets(f.source, &host.v4);
        t.uint(f.disposition, disposition.id);
        t.uint(f.action, MALWARE_BLOCK);
        t.uint(f.score, dice.range(60, 100));
        t.uint(f.indication, indication.id);
        if let Some(user) = host.user.and_then(|user| world.users.get(user)) {
            t.uint(f.user, user.id);
            t.text(f.user_name, [user.username.as_bytes(), b"@example.com"]);
            t.text(f.path, [b"C:\\Users\\", user.username.as_bytes(), b"\\Downloads\\", file.name.as_bytes()]);
            out.refers.push(user.meta);
        }
        out.refers.extend([terms.cloud.1, kind.meta, subtype.meta, detector.meta, disposition.meta, indication.meta]);
        out.refers.extend([file.meta, file.endpoint_kind.meta, parent.meta]);
        out.push(t);
    }
}

/// The host names malware downloads come from.
pub(crate) fn source_of(file: &FileItem, usual: &'static str, dice: &mut Dice) -> &'static str {
    if file.disposition == MALWARE { dice.pick(&names::BAD_DOMAINS).0 } else { usual }
}
