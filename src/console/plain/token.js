// The bearer token of this page: read from the bar, kept in this tab's sessionStorage, sent to this origin only.
// It must never reach a URL, localStorage or another host.
const STORAGE_KEY = "kombo-mirror.token";
const HINTS = {
  asked: "This server asks for a token: paste one and press Enter.",
  refused: "The server did not accept this token (401).",
  malformed: "A token has no spaces and no special characters: this one was not used.",
};

const input = document.getElementById("token");
const hint = document.getElementById("token-hint");
// The server says in the page whether it asks for a token: a question without one would only be refused, and the browser
// would report that as an error.
const isNeeded = document.querySelector('meta[name="kombo-mirror-auth"]')?.getAttribute("content") === "on";
const listeners = [];
let token = stored();

// sessionStorage throws where the browser blocks it; the token then lives in memory until the page is left.
function stored() {
  try {
    return sessionStorage.getItem(STORAGE_KEY) ?? "";
  } catch {
    return "";
  }
}

function store(value) {
  try {
    if (value) sessionStorage.setItem(STORAGE_KEY, value);
    else sessionStorage.removeItem(STORAGE_KEY);
  } catch {
    // Kept in memory only.
  }
}

function say(text) {
  hint.textContent = text;
}

function take() {
  // People paste the whole header.
  const value = input.value.trim().replace(/^(authorization:\s*)?bearer\s+/i, "");
  if (!/^[\x21-\x7e]*$/.test(value)) return say(HINTS.malformed);
  input.value = value;
  if (value === token) return;
  token = value;
  store(token);
  say("");
  for (const listener of listeners) listener();
}

// The page's answer to 401, from HTTP and from the WebSocket alike.
export function unauthorized() {
  say(token ? HINTS.refused : HINTS.asked);
}

export function authorization() {
  return token ? { authorization: `Bearer ${token}` } : {};
}

export function onTokenChange(listener) {
  listeners.push(listener);
}

// fetch() with the token. Answers that are not JSON (a proxy's error page) become a GraphQL error that can be shown.
export async function fetchWithToken(url, init) {
  if (isNeeded && !token) return notAsked();
  const response = await fetch(url, { ...init, headers: { ...init.headers, ...authorization() } });
  const text = await response.text();
  if (response.status === 401) unauthorized();
  else say("");
  return new Response(isJson(text) ? text : describe(response, text), { status: response.status });
}

function notAsked() {
  unauthorized();
  const error = { message: HINTS.asked, extensions: { code: "UNAUTHENTICATED" } };
  return new Response(JSON.stringify({ errors: [error] }), { status: 401 });
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function describe(response, text) {
  const message = `HTTP ${response.status} ${response.statusText}: ${text.slice(0, 300)}`;
  return JSON.stringify({ errors: [{ message }] });
}

input.value = token;
// "change" fires on Enter and on leaving the field: not a request for every letter typed.
input.addEventListener("change", take);
document.getElementById("token-show").addEventListener("click", (event) => {
  const hidden = input.type === "password";
  input.type = hidden ? "text" : "password";
  event.currentTarget.setAttribute("aria-pressed", String(hidden));
});
document.getElementById("token-forget").addEventListener("click", () => {
  input.value = "";
  take();
  input.focus();
});
