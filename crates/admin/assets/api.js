// Requests to the server. Errors are values with words for people: what happened, and what to do.

/** A request that failed. `status` is 0 when no answer came at all. */
export class ApiError extends Error {
  constructor(status, message, remedy, code) {
    super(sentence(message));
    this.status = status;
    this.remedy = sentence(remedy);
    this.code = code;
  }
}

/** Words of the server as a sentence of the page. */
function sentence(words) {
  if (!words) return words;
  return words[0].toUpperCase() + words.slice(1) + (/[.!?:)]$/.test(words) ? '' : '.');
}

let csrf = null;

/** Whether somebody is logged in, as far as is known here. */
export const loggedIn = () => csrf !== null;
export const forget = () => { csrf = null; };

async function request(method, path, body) {
  try {
    return await attempt(method, path, body);
  } catch (error) {
    // Somebody logged in anew in another tab: the cookie is another one, and so is the token.
    if (error.code !== 'csrf' || !await resume()) throw error;
    return attempt(method, path, body);
  }
}

async function attempt(method, path, body) {
  const headers = {Accept: 'application/json'};
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET' && csrf) headers['X-CSRF-Token'] = csrf;
  let answer, content;
  try {
    // A server that is stopped in the middle must not leave the page waiting.
    const signal = AbortSignal.timeout(20000);
    answer = await fetch(`/api/v1/${path}`, {method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body)});
    content = await answer.text();
  } catch {
    throw new ApiError(0, 'The server does not answer.', 'Look whether it runs: estreamer manage status');
  }
  let value = null;
  if (content) {
    try {
      value = JSON.parse(content);
    } catch {
      throw new ApiError(answer.status, `The server answered something unexpected (status ${answer.status}).`, 'Reload the page; it may be of another version.');
    }
  }
  if (answer.ok) return value;
  let remedy = value?.remedy;
  if (answer.status === 429 && !value?.error) remedy = `Try again in ${answer.headers.get('Retry-After') ?? 60} seconds.`;
  throw new ApiError(answer.status, value?.error ?? `The server refused this (status ${answer.status}).`, remedy, value?.code);
}

export const get = path => request('GET', path);
export const put = (path, body) => request('PUT', path, body);
export const post = (path, body) => request('POST', path, body);
export const remove = path => request('DELETE', path);

/** Part of a path. */
export const part = encodeURIComponent;

/** Takes up the session of the cookie, if there is one. */
export async function resume() {
  const session = await get('session').catch(error => {
    if (error.status === 401) return null;
    throw error;
  });
  csrf = session?.csrf ?? null;
  return csrf !== null;
}

export async function login(password) {
  csrf = (await post('session', {password})).csrf;
}

export async function logout() {
  await remove('session').catch(error => {
    if (error.status !== 401) throw error;
  });
  csrf = null;
}
