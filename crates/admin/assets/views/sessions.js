// Who is connected, what they asked for, and how far they are.

import * as api from '../api.js';
import {attribute, fill, h, iconButton, keyed, panel, show, table, text} from '../dom.js';
import {brief, bytes, full, lag, number, rate, setTime, span, utc} from '../format.js';
import {badge, command, dialog, empty, message} from '../ui.js';

export const title = 'Sessions';

const states = {handshake: ['handshake', 'quiet'], request: ['no request yet', 'quiet'], streaming: ['streaming', 'good'], paused: ['paused', 'warn']};

/** The second a session has reached. */
export function position(node, session) {
  setTime(node, session.second || null, brief);
  if (!session.second) attribute(node, 'title', 'No event has been sent yet');
}

/** Where a session began, in words. */
function begin(start) {
  if (start == null) return 'asked for no events';
  if (start === 'genesis' || start === 0) return 'from the beginning of the archive';
  if (start === 'now') return 'from now on';
  return `from ${full(Number(start))}`;
}

/** The parts of `Since N w/ NS Events w/ Packets`, without the first. */
function flags(request) {
  return (request ?? '').split(' w/ ').slice(1).map(words => words.trim());
}

function end(session, refresh) {
  const who = session.client ?? session.peer;
  dialog({
    title: `End session ${session.number} of ${who}?`,
    content: h('p', null, h('strong', null, 'The connection is closed at once.'), ' The client is not deleted: most connect again by themselves, and go on where they were.'),
    action: 'End session',
    danger: true,
    async run() {
      await api.remove(`sessions/${session.number}`);
      message(`Session ${session.number} of ${who} has been ended.`);
      refresh();
    },
  });
}

export function open({refresh}) {
  const sessions = table('Sessions', [['Client', ''], ['State', 'w-m'], ['Position', 'w-l'], ['Lag', 'n w-m'], ['Records', 'n w-l'], ['Bytes', 'n w-m'], ['Pending', 'n w-s'], ['', 'actions w-xs']]);
  sessions.node.classList.add('two-lines');
  sessions.body.remove();
  const none = h('div', {class: 'place'});
  const node = panel('Open sessions', null, sessions.node, none);

  function make({number: id, peer}) {
    let session;
    const name = h('span', {class: 'name'});
    const age = h('time');
    const state = h('span');
    const second = h('time', {class: 'second'});
    const behind = h('span', {class: 'lag'});
    const [records, recordRate, size, sizeRate, pending] = ['records', 'records-rate', 'bytes', 'bytes-rate', 'pending'].map(c => h('span', {class: c}));
    recordRate.classList.add('note');
    sizeRate.classList.add('note');
    const words = h('div', {class: 'request'});
    const main = sessions.row(null,
      [name, h('span', {class: 'note'}, `${peer}, `, age)], state, second, behind,
      [records, recordRate], [size, sizeRate], pending,
      h('div', {class: 'icons'}, iconButton('end', `End session ${id}`, () => end(session, refresh), {class: 'icon-button end'})));
    const below = h('tr', {role: 'row', class: 'below'}, h('td', {role: 'cell', class: 'text', colspan: 8}, words));
    // Both rows of a session belong together, so they are a body of their own.
    const body = h('tbody', {role: 'rowgroup', 'data-session': id}, main, below);
    return {node: body, update(s) {
      session = s;
      body.dataset.client = s.client ?? '';
      text(name, s.client ?? 'Not known yet');
      text(age, `for ${span(Math.max(0, now - s.connected))}`);
      attribute(age, 'title', `connected ${full(s.connected)} (${utc(s.connected)})`);
      fill(state, s.state, () => badge(...(states[s.state] ?? [s.state, 'quiet'])));
      position(second, s);
      text(behind, s.second ? lag(s.lag_seconds) : '–');
      text(records, number(s.records));
      text(recordRate, `${rate(s.records_per_second)}/s`);
      text(size, bytes(s.bytes));
      text(sizeRate, `${bytes(s.bytes_per_second)}/s`);
      text(pending, bytes(s.pending_bytes));
      fill(words, `${s.request} ${s.start}`, () => s.request == null ? h('span', {class: 'muted'}, 'has not asked for anything yet')
        : [h('span', {class: 'since'}, begin(s.start)), flags(s.request).map(flag => h('span', {class: 'chip'}, flag))]);
      attribute(words, 'title', s.request);
    }};
  }

  let now = 0;
  return {
    node,
    async update(state) {
      now = state.now;
      const {sessions: list} = await api.get('sessions');
      keyed(sessions.node, list, s => s.number, make);
      show(sessions.node, list.length > 0);
      fill(none, list.length > 0, () => list.length ? null : empty('Nobody is connected', 'A client shows up here as soon as it connects. Create one under Clients, download its file and try it on that host:', command(`estreamer ssl-test ${location.hostname} --pkcs12 HOST.pkcs12 -s all --extended`)));
    },
  };
}
