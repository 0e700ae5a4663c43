// The network map: the hosts that sensors have seen.

import * as api from '../api.js';
import {fill, h, icon, keyed, panel, show, table, text} from '../dom.js';
import {brief, count, full, number, setTime, timeNode} from '../format.js';
import {complain, command, dialog, empty, facts} from '../ui.js';

export const title = 'Network map';
const PAGE = 50;

const server = s => `${s.port}/${s.protocol}${s.name ? ` ${s.name}` : ''}`;
const software = s => [s.vendor, s.name ?? null, s.version].filter(Boolean).join(' ');

function list(items, make) {
  return items.length ? h('ul', {class: 'plain'}, items.map(item => h('li', null, make(item)))) : 'none seen';
}

function details(host) {
  dialog({title: host.name ? `${host.address} (${host.name})` : host.address, content: facts(
    host.addresses.length > 1 && ['Addresses', list(host.addresses, a => a)],
    ['MAC addresses', list(host.macs, mac => h('code', null, mac))],
    ['Operating system', host.os ?? 'not known'],
    host.hops != null && ['Hops', number(host.hops)],
    ['Servers', list(host.servers, s => `${s.port}/${s.protocol} ${software(s)}`)],
    ['Client applications', list(host.clients, software)],
    ['Users', list(host.users, u => u)],
    ['First seen', timeNode(host.first_seen, full)],
    ['Last seen', timeNode(host.last_seen, full)],
  )});
}

export function open() {
  const hosts = table('Hosts', [['Host', ''], ['Operating system', 'w-ml'], ['Servers', 'w-xl'], ['Clients', 'w-ml'], ['Users', 'w-m'], ['Last seen', 'w-l']]);
  const search = h('input', {type: 'search', id: 'host-search', placeholder: 'Address, name, MAC, user …', 'aria-label': 'Find hosts', oninput: () => {
    clearTimeout(typing);
    typing = setTimeout(() => begin(), 300);
  }});
  const domain = h('select', {'aria-label': 'Domain', hidden: true, onchange: () => begin()});
  const none = h('div', {class: 'place'});
  const total = h('span', {class: 'muted', 'aria-live': 'polite'});
  const previous = h('button', {type: 'button', onclick: () => go(pages.slice(0, -1))}, icon('previous'), 'Previous');
  const next = h('button', {type: 'button', onclick: () => go([...pages, answer.next])}, 'Next', icon('next'));
  const below = h('div', {class: 'pages'}, total, h('div', {class: 'buttons'}, previous, next));
  const node = panel('Hosts', h('div', {class: 'aside'}, domain, search), hosts.node, none, below);
  let typing = 0;
  /** The addresses the pages up to this one began after; the first page begins with nothing. */
  let pages = [null];
  let answer = null;
  let asked = 0;
  /** The page is asked for again now and then only: it is long, and somebody reads it. */
  let due = 0;

  function begin() {
    go([null]);
  }
  function go(to) {
    pages = to;
    due = 0;
    load().catch(complain);
  }

  async function load() {
    const turn = ++asked;
    const parameters = new URLSearchParams({netmap: domain.value || '0', limit: PAGE});
    if (search.value.trim()) parameters.set('q', search.value.trim());
    if (pages.at(-1)) parameters.set('after', pages.at(-1));
    const found = await api.get(`hosts?${parameters}`);
    // A later question may have been answered meanwhile.
    if (turn !== asked) return;
    answer = found;
    due = Date.now() + 10000;
    keyed(hosts.body, found.hosts, host => host.address, make);
    show(hosts.node, found.hosts.length > 0);
    show(below, found.hosts.length > 0);
    const before = (pages.length - 1) * PAGE;
    text(total, found.hosts.length ? `${number(before + 1)} to ${number(before + found.hosts.length)} of ${count(found.total, 'host')}` : '');
    show(previous, pages.length > 1);
    show(next, found.next != null);
    const searching = search.value.trim() !== '';
    fill(none, `${found.hosts.length > 0} ${searching}`, () => found.hosts.length ? null
      : searching ? empty('No host matches', 'Look for a part of an address, a name, a MAC address, a user or a server.')
      : empty('No hosts yet', 'The map grows by itself from what sensors report: flows, DHCP, ARP, logins. Start a sensor, or the simulator:', command('estreamer sensor simulate --home HOME --rate 100')));
  }

  function make({address}) {
    let host;
    const name = h('span', {class: 'note'});
    const cells = [h('span'), h('span', {class: 'chips'}), h('span'), h('span')];
    const last = h('time');
    const open = h('button', {type: 'button', class: 'link name', onclick: () => details(host)}, address);
    return {node: hosts.row({'data-host': address}, [open, name], ...cells, last), update(row) {
      host = row;
      text(name, row.name ?? '');
      text(cells[0], row.os ?? '–');
      fill(cells[1], JSON.stringify(row.servers), () => row.servers.length === 0 ? '–' : [
        row.servers.slice(0, 3).map(s => h('span', {class: 'chip', title: software(s)}, server(s))),
        row.servers.length > 3 && h('span', {class: 'muted'}, `and ${row.servers.length - 3} more`)]);
      text(cells[2], row.clients.map(c => c.name).slice(0, 3).join(', ') || '–');
      text(cells[3], row.users.slice(0, 3).join(', ') || '–');
      setTime(last, row.last_seen, brief);
    }};
  }

  return {
    node,
    close: () => clearTimeout(typing),
    async update() {
      const {domains} = await api.get('domains');
      fill(domain, JSON.stringify(domains), () => domains.map(d => h('option', {value: d.netmap}, d.name)));
      show(domain, domains.length > 1);
      if (Date.now() >= due) await load();
    },
  };
}
