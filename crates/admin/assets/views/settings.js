// What concerns the administrator and the whole server.

import * as api from '../api.js';
import {fill, h, icon, panel, show} from '../dom.js';
import {full, span, timeNode} from '../format.js';
import {badge, busy, command, facts, field, message, problem} from '../ui.js';
import {expiry} from './clients.js';

export const title = 'Settings';

function pausePanel(refresh) {
  const reason = h('input', {type: 'text', name: 'reason', maxlength: 200, value: 'backup'});
  const pause = h('button', {type: 'submit', id: 'pause'}, icon('pause'), 'Pause');
  const form = h('form', {onsubmit: event => {
    event.preventDefault();
    busy(pause, async () => {
      await api.put('pause', {reason: reason.value.trim()});
      message('Paused.');
      await refresh();
    });
  }}, field('Reason', reason, 'Shown to everybody who looks, and in the log.'), h('div', {class: 'buttons'}, pause));
  const paused = h('p', {hidden: true}, 'The server is paused. Resume it with the button at the top of the page.');
  const node = panel('Pause for a backup', null,
    h('p', {class: 'muted'}, 'Holds the stream while the home is copied: nothing is written to the archive and nothing is sent. Sensors keep their place, clients stay connected, and all goes on where it was.'),
    form, paused);
  return {node, update(state) {
    show(form, !state.paused);
    show(paused, state.paused);
  }};
}

function passwordPanel() {
  const [old, fresh, again] = ['current-password', 'new-password', 'new-password'].map(autocomplete => h('input', {type: 'password', autocomplete, required: true}));
  const error = problem();
  const save = h('button', {type: 'submit'}, 'Change password');
  const form = h('form', {onsubmit: event => {
    event.preventDefault();
    error.show(null);
    if (fresh.value !== again.value) {
      again.focus();
      return error.show({message: 'The two new passwords differ.', remedy: 'Type the new one twice.'});
    }
    busy(save, async () => {
      try {
        await api.put('password', {old: old.value, new: fresh.value});
      } catch (e) {
        // A wrong old password must not look like a login that has ended.
        return error.show(e);
      }
      form.reset();
      message('The password has been changed. Other logins have ended.');
    });
  }},
  h('input', {type: 'text', name: 'username', autocomplete: 'username', value: 'administrator', class: 'unseen', tabindex: -1, 'aria-hidden': 'true', readonly: true}),
  field('Present password', old), field('New password', fresh), field('New password again', again), error.node, h('div', {class: 'buttons'}, save));
  return panel('Password', null, form);
}

export function open({refresh}) {
  const pause = pausePanel(refresh);
  const about = h('div', {class: 'place'});
  const certificates = h('div', {class: 'place'});
  const node = h('div', {class: 'columns'},
    h('div', {class: 'stack'}, pause.node, passwordPanel()),
    h('div', {class: 'stack'},
      panel('About', null, about),
      panel('Certificates of the server', null, certificates),
      panel('For programs', null,
        h('p', null, 'All this page does is done through an API that is open to your programs too: ', h('a', {href: '/api/v1/openapi.yaml', target: '_blank', rel: 'noopener'}, 'its OpenAPI file'), '. Programs log in with a token of their own:'),
        command('estreamer admin tokens add NAME'),
        h('p', {class: 'note'}, 'The chart is drawn by uPlot, © Leon Sorokin, ', h('a', {href: '/vendor/uPlot.LICENSE.txt', target: '_blank', rel: 'noopener'}, 'MIT license'), '.'))));
  const names = {authority: 'Certificate authority', server: 'Service and this page'};
  return {
    node,
    update(state) {
      pause.update(state);
      fill(about, `${state.version} ${state.started} ${state.hostname} ${Math.floor(state.now / 60)}`, () => facts(
        ['Server', state.hostname],
        ['Version', state.version],
        ['Clients connect to', state.listen.join(', ')],
        ['Started', [timeNode(state.started, full), ` (${span(Math.max(60, state.now - state.started))} ago)`]],
        ['Clocks', Math.abs(Date.now() / 1000 - state.now) > 5 ? badge(`the server's is ${span(Math.abs(Date.now() / 1000 - state.now))} off this device's`, 'warn') : 'the server and this device agree'],
      ));
      fill(certificates, JSON.stringify(state.certificates), () => facts(...state.certificates.map(c => [names[c.what] ?? c.what,
        ['valid until ', timeNode(c.not_after, full), ' ', expiry(c.expires_in_days)]])));
    },
  };
}
