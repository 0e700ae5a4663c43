// "eStreamer Event Configuration": which types of events are captured.

import * as api from '../api.js';
import {h, keyed, panel, text} from '../dom.js';
import {rate} from '../format.js';
import {complain, message} from '../ui.js';

export const title = 'Event types';

export function open({refresh}) {
  const list = h('ul', {class: 'checks'});
  let rates = new Map();
  const node = panel('eStreamer Event Configuration', null,
    h('p', {class: 'muted'}, 'Checked types are captured and sent to the clients that ask for them. A change takes effect at once, for sensors and open sessions. Unchecking deletes nothing: what was captured before stays in the archive.'),
    list);

  function make(type) {
    const box = h('input', {type: 'checkbox', id: `event-${type.key}`, 'aria-describedby': `event-${type.key}-note`, onclick: set});
    const now = h('span', {class: 'n'});
    async function set(event) {
      // The box shows what the server says, not what was clicked.
      event.preventDefault();
      if (box.getAttribute('aria-busy') === 'true') return;
      const captured = !box.dataset.captured;
      box.setAttribute('aria-busy', 'true');
      try {
        const row = await api.put(`events/${api.part(type.key)}`, {captured});
        update(row);
        message(row.captured ? `Captured again: ${row.title}.` : `Not captured any more: ${row.title}.`);
        refresh();
      } catch (error) {
        complain(error);
      } finally {
        box.removeAttribute('aria-busy');
      }
    }
    function update(row) {
      if (row.captured) box.dataset.captured = '1';
      else delete box.dataset.captured;
      // Within the click it is set back by the browser, so it is set after it.
      setTimeout(() => { box.checked = row.captured; });
      const value = rates.get(row.key);
      text(now, !row.captured ? 'not captured' : value === undefined ? '' : `${rate(value)} events/s`);
    }
    return {update, node: h('li', {'data-event': type.key}, box, h('div', null, h('label', {for: box.id}, type.title), h('p', {class: 'note', id: `event-${type.key}-note`}, type.note)), now)};
  }

  return {
    node,
    async update() {
      const [{types}, {series}] = await Promise.all([api.get('events'), api.get('rates?minutes=1')]);
      rates = new Map(series.map(s => [s.key, s.values.at(-1)]));
      keyed(list, types, type => type.key, make);
    },
  };
}
