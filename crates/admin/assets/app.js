// The frame of the page: login, navigation, and the poll that keeps the view that is open up to date.

import * as api from './api.js';
import {attribute, fill, h, icon, keyed, show, text} from './dom.js';
import {number, span} from './format.js';
import {busy, complain, message} from './ui.js';
import * as login from './views/login.js';
import * as overview from './views/overview.js';
import * as events from './views/events.js';
import * as clients from './views/clients.js';
import * as sessions from './views/sessions.js';
import * as sensors from './views/sensors.js';
import * as hosts from './views/hosts.js';
import * as log from './views/log.js';
import * as settings from './views/settings.js';

/** How often what is shown is asked for again, in milliseconds. */
const POLL = 2000;
const views = {overview, events, clients, sessions, sensors, hosts, log, settings};
const page = document.getElementById('page');

/** The frame that is shown, once somebody has logged in. */
let frame = null;
let timer = 0;
/** The poll that is under way; one at a time. */
let polling = false;
let failures = 0;

function makeFrame() {
  const links = Object.entries(views).map(([name, view]) => {
    const badge = h('span', {class: 'count'});
    const link = h('a', {href: `#/${name}`, id: `nav-${name}`}, icon(name), h('span', null, view.title), badge);
    return {name, link, badge};
  });
  const nav = h('nav', {id: 'nav', 'aria-label': 'Views'}, h('ul', null, links.map(({link}) => h('li', null, link))));
  const menu = h('button', {type: 'button', class: 'menu icon-button', 'aria-expanded': 'false', 'aria-controls': 'nav', 'aria-label': 'Menu', onclick: () => toggle()}, icon('menu'));
  const host = h('span', {class: 'host'});
  const state = h('span', {class: 'state'});
  const leave = h('button', {type: 'button', class: 'quiet', id: 'log-out', onclick: () => busy(leave, logOut)}, icon('logout'), 'Log out');
  const banners = h('div', {id: 'banners', 'aria-live': 'polite'});
  const main = h('main', {id: 'main'});
  const bar = h('header', null, menu, h('a', {class: 'brand', href: '#/overview'}, h('img', {src: '/icon.svg', alt: '', width: 24, height: 24}), h('span', null, 'eStreamer')), host, state);
  const skip = h('a', {class: 'skip', href: '#main', onclick: event => {
    event.preventDefault();
    main.querySelector('h1')?.focus();
  }}, 'Skip to content');
  page.replaceChildren(skip, bar, h('div', {class: 'side'}, nav, leave), h('div', {class: 'content'}, banners, main));
  const toggle = open => menu.setAttribute('aria-expanded', String(open ?? menu.getAttribute('aria-expanded') !== 'true'));
  nav.addEventListener('click', event => event.target.closest('a') && toggle(false));
  page.addEventListener('keydown', event => event.key === 'Escape' && toggle(false));
  return {links, host, state, banners, main, view: null, overview: null, error: null};
}

/** Opens the view the address names. */
function open() {
  if (!frame) return;
  const name = location.hash.replace(/^#\//, '').split('?')[0];
  const view = views[name] ?? overview;
  for (const {name: of, link} of frame.links) attribute(link, 'aria-current', views[of] === view && 'page');
  document.title = `${view.title} – eStreamer`;
  frame.view?.close?.();
  frame.view = view.open({refresh: poll, overview: () => frame?.overview});
  const heading = h('h1', {tabindex: -1}, view.title);
  frame.main.replaceChildren(h('div', {class: 'title'}, heading, frame.view.aside), frame.view.node);
  frame.main.dataset.view = Object.keys(views).find(key => views[key] === view);
  // Screen readers go on at the new view, but a page that was just loaded keeps its focus.
  if (frame.opened) heading.focus({preventScroll: true});
  frame.opened = true;
  window.scrollTo(0, 0);
  poll();
}

/** Asks for what is shown. Whoever calls it while it is under way gets another one after it. */
async function poll() {
  clearTimeout(timer);
  if (!frame || document.hidden) return;
  if (polling) {
    polling = 'again';
    return;
  }
  polling = true;
  const {view} = frame;
  try {
    const state = await api.get('overview');
    if (!frame) return;
    frame.overview = state;
    showState(state);
    await view.update(state);
    failures = 0;
    frame.error = null;
  } catch (error) {
    if (error.status === 401) return loggedOut();
    if (!(error instanceof api.ApiError)) throw error;
    failures += 1;
    if (frame?.view === view) frame.error = error;
  } finally {
    const again = polling === 'again';
    polling = false;
    if (frame) {
      if (frame.view === view) main(true);
      showBanners();
      // After failures it is asked less and less often, at most every ten seconds.
      timer = setTimeout(poll, again ? 0 : Math.min(POLL * Math.max(1, failures), 10000));
    }
  }
}

/** Marks the view as one that has had its first answer. */
function main(loaded) {
  attribute(frame.main, 'data-loaded', loaded);
}

function showState(state) {
  text(frame.host, state.hostname);
  const count = {sessions: state.open, overview: state.warnings.length};
  for (const {name, badge} of frame.links) {
    text(badge, count[name] ? number(count[name]) : '');
    attribute(badge, 'title', !count[name] ? null : name === 'overview' ? 'warnings' : 'open sessions');
    attribute(badge, 'data-kind', name === 'overview' && 'warn');
  }
}

function showBanners() {
  const {overview: state, error, banners} = frame;
  const kind = error ? 'offline' : state?.paused ? 'paused' : 'live';
  text(frame.state, {offline: error?.status ? 'Error' : 'No connection', paused: 'Paused', live: 'Live'}[kind]);
  attribute(frame.state, 'data-kind', kind);
  const list = [];
  if (error) list.push({id: 'offline', error});
  if (state?.paused) list.push({id: 'paused', paused: state.paused});
  keyed(banners, list, item => item.id, item => item.id === 'offline' ? offlineBanner() : pausedBanner());
  show(banners, list.length > 0);
}

function offlineBanner() {
  const words = h('p');
  const retry = h('button', {type: 'button', onclick: () => poll()}, 'Try now');
  const node = h('div', {class: 'banner bad', id: 'banner-offline'}, icon('warning'), words, retry);
  return {node, update: ({error}) => text(words, `${error.message} ${error.remedy ?? ''} What is shown is old; it is tried again by itself.`)};
}

function pausedBanner() {
  const words = h('p');
  const resume = h('button', {type: 'button', id: 'resume', onclick: () => busy(resume, async () => {
    await api.remove('pause');
    message('Events go on.');
    await poll();
  })}, icon('resume'), 'Resume');
  const node = h('div', {class: 'banner warn', id: 'banner-paused'}, icon('pause'), words, resume);
  return {node, update({paused}) {
    const since = span(Date.now() / 1000 - paused.since);
    fill(words, `${paused.reason} ${since}`, () => [h('strong', null, `Paused: ${paused.reason || 'no reason given'}`), ` for ${since}. Sensors hold what they have and clients stay connected; nothing is lost, and nothing comes until you resume.`]);
  }};
}

async function logOut() {
  await api.logout();
  loggedOut('You have logged out.');
}

/** Back to the login. */
function loggedOut(words = 'Your login has ended. Log in again.') {
  if (!frame) return;
  clearTimeout(timer);
  frame.view?.close?.();
  frame = null;
  api.forget();
  for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  showLogin(words);
}

function showLogin(words) {
  document.title = 'Log in – eStreamer';
  login.show(page, words, start);
}

function start() {
  document.getElementById('messages').replaceChildren();
  frame = makeFrame();
  failures = 0;
  open();
}

window.addEventListener('hashchange', open);
window.addEventListener('logged-out', () => loggedOut());
document.addEventListener('visibilitychange', () => document.hidden ? clearTimeout(timer) : poll());

try {
  if (await api.resume()) start();
  else showLogin();
} catch (error) {
  showLogin();
  complain(error);
}
