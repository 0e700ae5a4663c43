// The login.

import * as api from '../api.js';
import {h} from '../dom.js';
import {command, field, problem} from '../ui.js';

/** Shows the form in `page`; `words` say why, `done` is called when somebody has logged in. */
export function show(page, words, done) {
  const password = h('input', {type: 'password', name: 'password', autocomplete: 'current-password', required: true});
  const error = problem();
  const submit = h('button', {type: 'submit', class: 'primary'}, 'Log in');
  const form = h('form', {class: 'login', onsubmit: async event => {
    event.preventDefault();
    if (submit.getAttribute('aria-busy') === 'true') return;
    submit.setAttribute('aria-busy', 'true');
    error.show(null);
    try {
      await api.login(password.value);
      done();
    } catch (e) {
      error.show(e);
      password.select();
    } finally {
      submit.removeAttribute('aria-busy');
    }
  }},
  h('img', {src: '/icon.svg', alt: '', width: 40, height: 40}),
  h('h1', null, 'eStreamer'),
  h('p', {class: 'muted'}, words ?? 'Administration of the server.'),
  // Password managers want a name.
  h('input', {type: 'text', name: 'username', autocomplete: 'username', value: 'administrator', class: 'unseen', tabindex: -1, 'aria-hidden': 'true', readonly: true}),
  field('Password', password), error.node, submit,
  h('details', null, h('summary', null, 'Forgotten?'), h('p', null, 'On the machine of the server, as its user:'), command('estreamer admin password')));
  page.replaceChildren(h('main', {class: 'login-page'}, form));
  password.focus();
}
