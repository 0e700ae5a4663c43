// Recent log lines of the server.

import * as api from '../api.js';
import {fill, h, panel, show, text} from '../dom.js';
import {brief, count, timeNode} from '../format.js';
import {complain, empty} from '../ui.js';

export const title = 'Log';
/** Lines kept in the page. */
const KEPT = 1000;

export function open() {
  const level = h('select', {'aria-label': 'Level', id: 'log-level', onchange: () => again()},
    [['error', 'Errors'], ['warn', 'Warnings and errors'], ['info', 'Information'], ['debug', 'Everything']].map(([value, words]) => h('option', {value}, words)));
  level.value = 'info';
  const filter = h('input', {type: 'search', placeholder: 'Lines with …', 'aria-label': 'Show lines with these words', oninput: () => siftAll()});
  const follow = h('input', {type: 'checkbox', id: 'log-follow', onchange: () => follow.checked && down()});
  follow.checked = true;
  const lines = h('ol', {class: 'log', tabindex: 0, 'aria-label': 'Log lines', onscroll: () => {
    // Scrolling up stops following, scrolling to the end goes on.
    follow.checked = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
  }});
  const none = h('div', {class: 'place'});
  const shown = h('span', {class: 'note'});
  const node = panel('Recent lines', h('div', {class: 'aside'}, h('label', {class: 'inline'}, follow, 'Follow'), level, filter), lines, none, shown);
  let last = 0;
  let turn = 0;

  const down = () => { lines.scrollTop = lines.scrollHeight; };
  function sift(line) {
    const words = filter.value.trim().toLowerCase();
    show(line, words === '' || line.textContent.toLowerCase().includes(words));
  }
  function siftAll() {
    for (const line of lines.children) sift(line);
    if (follow.checked) down();
  }
  function again() {
    turn += 1;
    last = 0;
    lines.replaceChildren();
    load().catch(complain);
  }

  async function load() {
    const mine = turn;
    for (;;) {
      const {lines: more} = await api.get(`log?after=${last}&limit=200&level=${level.value}`);
      if (mine !== turn) return;
      const following = follow.checked;
      for (const line of more) {
        if (line.number <= last) continue;
        last = line.number;
        const row = h('li', {'data-level': line.level}, timeNode(line.time, brief),
          h('span', {class: 'level'}, line.level),
          h('span', {class: 'component', title: line.process}, [line.process, line.component].filter(Boolean).join(':')),
          h('span', {class: 'text'}, line.text));
        sift(row);
        lines.append(row);
      }
      while (lines.children.length > KEPT) lines.firstChild.remove();
      if (more.length && following) down();
      if (more.length < 200) break;
    }
    show(lines, lines.children.length > 0);
    text(shown, lines.children.length ? `The last ${count(lines.children.length, 'line')} of this level. The whole log is where log_file in settings.toml says.` : '');
    fill(none, lines.children.length > 0, () => lines.children.length ? null : empty('No line of this level', 'That is good news for errors and warnings. Choose another level to see more.'));
  }

  return {node, update: load};
}
