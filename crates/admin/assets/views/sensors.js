// What feeds the archive.

import * as api from '../api.js';
import {attribute, fill, h, icon, iconButton, keyed, panel, show, table, text} from '../dom.js';
import {brief, lag, number, rate, setTime, span} from '../format.js';
import {badge, busy, command, dialog, empty, message} from '../ui.js';

export const title = 'Sensors';

const states = {running: 'good', waiting: 'warn', paused: 'warn', silent: 'bad', stopped: 'quiet'};
const kinds = {eve: 'Suricata (EVE)', unified2: 'Snort (unified2)', simulator: 'simulator', replay: 'replay', 'record-json': 'records as JSON', publish: 'published records'};

/** Whether it is to wait; one that does not run may be paused too. */
const isPaused = sensor => sensor.paused ?? sensor.state === 'paused';

/** The state of a sensor. */
export function stateBadge(state) {
  return badge(state, states[state] ?? 'quiet');
}

function forget(sensor, refresh) {
  dialog({
    title: `Forget ${sensor.name}?`,
    content: h('p', null, h('strong', null, 'It is taken off this list.'), ' Its events stay in the archive, and so does what it keeps to go on where it ended. If it is started again, it shows up again.'),
    action: 'Forget',
    danger: true,
    async run() {
      await api.remove(`sensors/${api.part(sensor.id)}`);
      message(`${sensor.name} has been forgotten.`);
      refresh();
    },
  });
}

export function open({refresh}) {
  const sensors = table('Sensors', [['Device', ''], ['Kind', 'w-ml'], ['State', 'w-ml'], ['Lag', 'n w-m'], ['Events', 'n w-m'], ['Last event', 'w-l'], ['Seen', 'n w-ml'], ['', 'actions w-s']]);
  const none = h('div', {class: 'place'});
  const node = panel('Managed devices', null,
    h('p', {class: 'muted'}, 'Programs that write events to the archive, each as a managed device. A paused sensor keeps its place and goes on there.'),
    sensors.node, none);

  function make({id}) {
    let sensor;
    const name = h('span', {class: 'name'});
    const device = h('span', {class: 'note'});
    const kind = h('span');
    const state = h('span');
    const waiting = h('span', {class: 'note'});
    const behind = h('span');
    const events = h('span');
    const perSecond = h('span', {class: 'note'});
    const last = h('time');
    const seen = h('span');
    const toggle = h('button', {type: 'button', class: 'icon-button pause', onclick: () => busy(toggle, async () => {
      const row = await api.put(`sensors/${api.part(id)}`, {paused: !isPaused(sensor)});
      update(row);
      message(isPaused(row) ? `${row.name} is paused.` : `${row.name} goes on.`);
      refresh();
    })});
    const drop = iconButton('delete', 'Forget', () => forget(sensor, refresh));
    function update(s) {
      sensor = s;
      text(name, s.name);
      text(device, `device ${s.device}${s.domain ? `, ${s.domain}` : ''}`);
      text(kind, kinds[s.kind] ?? s.kind);
      fill(state, s.state, () => stateBadge(s.state));
      text(waiting, s.waiting ?? '');
      text(behind, lag(s.lag_seconds));
      text(events, number(s.events));
      text(perSecond, `${rate(s.events_per_second)}/s`);
      setTime(last, s.last_event || null, brief);
      text(seen, s.seen ? `${span(Math.max(0, now - s.seen))} ago` : '–');
      const paused = isPaused(s);
      const words = `${paused ? 'Resume' : 'Pause'} ${s.name}`;
      attribute(toggle, 'title', words);
      attribute(toggle, 'aria-label', words);
      fill(toggle, paused, () => icon(paused ? 'resume' : 'pause'));
      attribute(drop, 'aria-label', `Forget ${s.name}`);
      attribute(drop, 'title', `Forget ${s.name}`);
      show(drop, s.state === 'silent' || s.state === 'stopped');
      attribute(name, 'title', s.source);
    }
    return {update, node: sensors.row({'data-sensor': id}, [name, device], kind, [state, waiting], behind, [events, perSecond], last, seen, h('div', {class: 'icons'}, toggle, drop))};
  }

  let now = 0;
  return {
    node,
    async update(state) {
      now = state.now;
      const {sensors: list} = await api.get('sensors');
      keyed(sensors.body, list, s => s.id, make);
      show(sensors.node, list.length > 0);
      fill(none, list.length > 0, () => list.length ? null : empty('No sensor has reported', 'Start one on this machine. It shows up here within a second.',
        h('p', {class: 'note'}, 'Suricata:'), command('estreamer sensor eve --home HOME /var/log/suricata/eve.json'),
        h('p', {class: 'note'}, 'Snort:'), command('estreamer sensor unified2 --home HOME --maps /etc/snort /var/log/snort'),
        h('p', {class: 'note'}, 'None at hand:'), command('estreamer sensor simulate --home HOME --rate 100')));
    },
  };
}
