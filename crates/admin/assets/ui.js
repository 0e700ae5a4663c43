// What views share: messages, dialogs, badges, commands to copy.

import {h, icon, iconButton} from './dom.js';

/** Says something in a corner of the page and to screen readers. Errors stay until they are closed. */
export function message(words, {remedy, error} = {}) {
  const node = h('div', {class: error ? 'message error' : 'message'}, icon(error ? 'warning' : 'ok'),
    h('div', null, h('p', null, words), remedy && h('p', {class: 'muted'}, remedy)),
    iconButton('end', 'Close this message', () => node.remove()));
  const messages = document.getElementById('messages');
  while (messages.children.length > 3) messages.firstChild.remove();
  messages.append(node);
  if (!error) setTimeout(() => node.remove(), 6000);
}

/** Shows an error of a request; that the login has ended is dealt with elsewhere. */
export function complain(error) {
  if (error.status === 401) window.dispatchEvent(new Event('logged-out'));
  else message(error.message, {remedy: error.remedy, error: true});
}

/** Runs what a button does; it cannot be pressed again meanwhile. */
export async function busy(button, run) {
  if (button.getAttribute('aria-busy') === 'true') return;
  button.setAttribute('aria-busy', 'true');
  try {
    await run();
  } catch (error) {
    complain(error);
  } finally {
    button.removeAttribute('aria-busy');
  }
}

let unique = 0;

/** An input with its label and a note. `input` gets an id. */
export function field(label, input, note) {
  input.id = `field-${++unique}`;
  const hint = note && h('p', {class: 'note', id: `${input.id}-note`}, note);
  if (hint) input.setAttribute('aria-describedby', hint.id);
  return h('div', {class: 'field'}, h('label', {for: input.id}, label), input, hint);
}

/** A place for the error of a form. */
export function problem() {
  const node = h('div', {class: 'problem', role: 'alert', hidden: true});
  return {
    node,
    show(error) {
      node.hidden = !error;
      node.replaceChildren();
      if (error) node.append(icon('warning'), h('div', null, h('p', null, error.message), error.remedy ? h('p', null, error.remedy) : ''));
    },
  };
}

/**
 * A dialog that does one thing. `run()` is what its button does: when it succeeds the dialog closes, or shows the node
 * `run` gives back in place of the form; when it fails the error is shown, above `after`, and the dialog stays.
 */
export function dialog({title, content, after, action, danger, run, failed}) {
  const opener = document.activeElement;
  const error = problem();
  const heading = h('h2', {id: `title-${++unique}`}, title);
  const submit = action && h('button', {type: 'submit', class: danger ? 'danger' : 'primary'}, action);
  const cancel = h('button', {type: 'button', onclick: () => node.close()}, action ? 'Cancel' : 'Close');
  const form = h('form', {method: 'dialog', onsubmit: send}, heading, content, error.node, after,
    h('div', {class: 'buttons'}, cancel, submit));
  const node = h('dialog', {'aria-labelledby': heading.id, onclose: closed, onclick: outside}, form);

  async function send(event) {
    event.preventDefault();
    if (submit.getAttribute('aria-busy') === 'true') return;
    submit.setAttribute('aria-busy', 'true');
    error.show(null);
    try {
      const done = await run();
      if (!done) return node.close();
      const close = h('button', {type: 'button', onclick: () => node.close()}, 'Done');
      form.replaceChildren(done, h('div', {class: 'buttons'}, close));
      (form.querySelector('a.primary') ?? close).focus();
    } catch (e) {
      if (e.status === 401) node.close();
      if (e.status === 401) complain(e);
      else error.show(e);
      failed?.(e);
    } finally {
      submit.removeAttribute('aria-busy');
    }
  }
  function outside(event) {
    if (event.target === node && !action) node.close();
  }
  function closed() {
    node.remove();
    (opener?.isConnected ? opener : document.querySelector('h1'))?.focus();
  }
  document.body.append(node);
  node.showModal();
  // What deletes is not the thing that the return key does at once.
  (danger ? cancel : form.querySelector('input, select') ?? cancel).focus();
  return node;
}

/** A word with a colour: `good`, `warn`, `bad` or `quiet`. */
export function badge(words, kind) {
  return h('span', {class: `badge ${kind}`}, words);
}

/** What to type, with a button that copies it. */
export function command(line) {
  const copy = iconButton('copy', 'Copy this command', async () => {
    try {
      await navigator.clipboard.writeText(line);
      message('Copied.');
    } catch {
      getSelection().selectAllChildren(code);
      message('It is selected; copy it with the keyboard.');
    }
  });
  const code = h('code', {tabindex: 0}, line);
  return h('div', {class: 'command'}, code, copy);
}

/** What a view says when there is nothing to show. */
export function empty(title, words, ...content) {
  return h('div', {class: 'empty'}, h('h3', null, title), h('p', null, words), content);
}

/** A list of names and values. Both may be nodes. */
export function facts(...pairs) {
  return h('dl', {class: 'facts'}, pairs.filter(Boolean).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))));
}
