// "eStreamer Clients": who may connect.

import * as api from '../api.js';
import {attribute, fill, h, icon, iconButton, keyed, panel, show, table, text} from '../dom.js';
import {count, date, full, number, setTime, timeNode} from '../format.js';
import {badge, command, dialog, empty, facts, field, message, trial} from '../ui.js';

export const title = 'Clients';

const file = name => `/api/v1/clients/${api.part(name)}/pkcs12`;

/** The password for a client's file, with the possibility to see what is typed. */
function passwordField() {
  const input = h('input', {type: 'password', name: 'password', autocomplete: 'new-password', maxlength: 128});
  const see = h('input', {type: 'checkbox', onchange: () => { input.type = see.checked ? 'text' : 'password'; }});
  const node = h('div', null,
    field('Password (optional)', input, 'Encrypts the file. Whoever installs it on the client must type it; it is not kept here.'),
    h('label', {class: 'inline'}, see, 'Show the password'));
  return {node, value: () => input.value || undefined};
}

/** What is shown when there is a new file to download. */
function offer({client, download}, words, password, state) {
  return h('div', null,
    h('h2', null, words),
    h('p', null, 'This file has the key and the certificate the client shows, and the authority it must trust. Take it there by a safe way: whoever has it can read the events from that address.'),
    h('p', null, h('a', {class: 'button primary', id: 'download-new', href: download, download: `${client.name}.pkcs12`}, icon('download'), `Download ${client.name}.pkcs12`)),
    h('p', {class: 'note'}, 'On the client, to try it:'),
    trial(state, `${client.name}.pkcs12`, password));
}

function create(domains, {refresh, overview}) {
  const host = h('input', {type: 'text', name: 'host', required: true, maxlength: 253, autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false'});
  const password = passwordField();
  const netmap = domains.length > 1 && h('select', {name: 'netmap'}, domains.map(d => h('option', {value: d.netmap}, d.name)));
  const accept = h('input', {type: 'checkbox', name: 'accept'});
  const anyway = h('label', {class: 'inline', hidden: true}, accept, 'Create it although the name does not resolve');
  host.addEventListener('input', () => {
    accept.checked = false;
    show(anyway, false);
  });
  dialog({
    title: 'Create Client',
    content: [
      field('Hostname', host, 'The name or address the client connects from. It is compared with the address it really comes from.'),
      password.node,
      netmap && field('Domain', netmap, 'The client gets the events of this domain.'),
    ],
    after: anyway,
    action: 'Save',
    async run() {
      const made = await api.post('clients', {
        name: host.value.trim(),
        password: password.value(),
        netmap: netmap ? Number(netmap.value) : undefined,
        accept_unresolved: accept.checked || undefined,
      });
      refresh();
      return offer(made, `${made.client.name} may connect now`, password.value(), overview());
    },
    failed(error) {
      if (error.code === 'unresolved' || (error.status === 422 && /resolv/i.test(error.message))) show(anyway, true);
    },
  });
}

function renew(client, {refresh, overview}) {
  const password = passwordField();
  dialog({
    title: `Renew the certificate of ${client.name}?`,
    content: [h('p', null, 'A new key and certificate are made. The present ones stay good until the client first connects with the new ones, so nothing is interrupted.'), password.node],
    action: 'Renew',
    async run() {
      const made = await api.post(`clients/${api.part(client.name)}/renew`, {password: password.value()});
      refresh();
      return offer(made, `${client.name} has a new certificate`, password.value(), overview());
    },
  });
}

function remove(client, refresh) {
  const open = client.sessions;
  const ends = open === 0 ? 'It has no open session now.' : open === 1 ? 'Its open session ends at once.' : `Its ${number(open)} open sessions end at once.`;
  dialog({
    title: `Delete ${client.name}?`,
    content: [
      h('p', null, h('strong', null, ends), ' Its certificate is revoked: every new connection with it is refused. This cannot be undone; to let the host in again, create it anew and give it the new file.'),
      h('p', {class: 'note'}, 'Events in the archive are not touched.'),
    ],
    action: 'Delete',
    danger: true,
    async run() {
      await api.remove(`clients/${api.part(client.name)}`);
      message(`${client.name} has been deleted.`);
      refresh();
    },
  });
}

function details(client, several) {
  dialog({title: client.name, content: facts(
    several && ['Domain', client.domain ?? `netmap ${client.netmap}`],
    ['Created', timeNode(client.created, full)],
    ['Valid from', timeNode(client.not_before, full)],
    ['Valid until', timeNode(client.not_after, full)],
    ['Open sessions', number(client.sessions)],
    client.warning && ['Warning', client.warning],
    client.older_valid && ['Renewed', 'The certificate from before is good until the new one is used.'],
    ['Serial number', h('code', null, client.serial)],
    ['SHA-256 fingerprint', h('code', null, client.fingerprint)],
  )});
}

/** Until when a certificate is good, as a badge if that is soon. */
export function expiry(days) {
  if (days < 0) return badge('expired', 'bad');
  if (days <= 30) return badge(days < 1 ? 'expires today' : `${count(days, 'day')} left`, days <= 7 ? 'bad' : 'warn');
  return null;
}

export function open(context) {
  let domains = [];
  const clients = table('eStreamer clients', [['Host', ''], ['Domain', 'w-l domain'], ['Created', 'w-m'], ['Valid until', 'w-date'], ['Sessions', 'n w-s'], ['', 'actions w-m']]);
  const filter = h('input', {type: 'search', placeholder: 'Find a host', 'aria-label': 'Find a host', oninput: () => sift()});
  const none = h('div', {class: 'place'});
  const noMatch = h('p', {class: 'empty', hidden: true}, 'No client has such a name.');
  const add = h('button', {type: 'button', class: 'primary', id: 'create-client', onclick: () => create(domains, context)}, icon('add'), 'Create Client');
  const node = panel('eStreamer Clients', h('div', {class: 'aside'}, filter, add),
    h('p', {class: 'muted'}, 'The hosts that may request events. Each connects with the file it is given here, from its own address.'),
    clients.node, none, noMatch);

  function sift() {
    const wanted = filter.value.trim().toLowerCase();
    let shown = 0;
    for (const row of clients.body.children) {
      const fits = row.dataset.client.toLowerCase().includes(wanted);
      show(row, fits);
      shown += fits;
    }
    show(noMatch, wanted !== '' && shown === 0);
  }

  function make({name}) {
    let client;
    const host = h('button', {type: 'button', class: 'link name', title: `Details of ${name}`, onclick: () => details(client, domains.length > 1)}, name);
    const cells = [h('span'), h('time'), h('span'), h('span', {class: 'n'})];
    const until = h('time');
    const expires = h('span', {class: 'place'});
    cells[2].append(until, ' ', expires);
    const save = h('a', {class: 'icon-button download'}, icon('download'));
    const actions = h('div', {class: 'icons'}, save,
      iconButton('renew', `Renew the certificate of ${name}`, () => renew(client, context), {class: 'icon-button renew'}),
      iconButton('delete', `Delete ${name}`, () => remove(client, context.refresh), {class: 'icon-button delete'}));
    const renewed = h('span', {class: 'note'});
    return {node: clients.row({'data-client': name}, [host, renewed], ...cells, actions), update(row) {
      client = row;
      text(renewed, row.older_valid ? 'renewed; the new file is not used yet' : '');
      text(cells[0], row.domain ?? `netmap ${row.netmap}`);
      setTime(cells[1], row.created, date);
      setTime(until, row.not_after, date);
      fill(expires, `${row.expires_in_days} ${row.warning}`, () => {
        const mark = expiry(row.expires_in_days) ?? (row.warning && badge('warning', 'warn'));
        if (mark && row.warning) mark.title = row.warning;
        return mark;
      });
      text(cells[3], number(row.sessions));
      // A link without address cannot be followed, nor reached with the keyboard.
      const words = row.downloadable ? `Download ${name}.pkcs12` : `The file of ${name} is not kept here; renew the certificate to get a new one`;
      attribute(save, 'href', row.downloadable && file(name));
      attribute(save, 'download', row.downloadable && `${name}.pkcs12`);
      attribute(save, 'role', row.downloadable ? null : 'link');
      attribute(save, 'aria-disabled', !row.downloadable && 'true');
      attribute(save, 'aria-label', words);
      attribute(save, 'title', words);
    }};
  }

  return {
    node,
    async update() {
      const [list, all] = await Promise.all([api.get('clients'), api.get('domains')]);
      domains = all.domains;
      clients.node.classList.toggle('one-domain', domains.length < 2);
      keyed(clients.body, list.clients, c => c.name, make);
      show(clients.node, list.clients.length > 0);
      show(filter, list.clients.length > 8);
      fill(none, list.clients.length > 0, () => list.clients.length ? null : empty('No client yet', 'A client is a collector or SIEM that reads the events of this server: the collector of this project, QRadar, ArcSight, eNcore. Press Create Client, or type:', command('estreamer clients add --home HOME HOST')));
      sift();
    },
  };
}
