// Sends what the text areas hold to /graphql and shows the JSON answer.
import { EXAMPLES } from "./examples.js";
import { fetchWithToken } from "./token.js";

const element = (id) => document.getElementById(id);

function choose() {
  element("query").value = EXAMPLES[element("example").value].query;
}

// Over HTTP only: what is followed needs a socket.
const offered = EXAMPLES.filter(({ query }) => !/^subscription/m.test(query));
element("example").replaceChildren(...offered.map(({ title }) => new Option(title, EXAMPLES.findIndex((one) => one.title === title))));
element("example").addEventListener("change", choose);
choose();

function request() {
  const variables = element("variables").value.trim();
  return { query: element("query").value, variables: variables ? JSON.parse(variables) : undefined };
}

async function ask() {
  let body;
  try {
    body = JSON.stringify(request());
  } catch (error) {
    return { status: "not sent", text: `The variables are not JSON: ${error.message}` };
  }
  const headers = {
    accept: "application/graphql-response+json, application/json;q=0.9",
    "content-type": "application/json",
  };
  try {
    const response = await fetchWithToken("/graphql", { method: "POST", headers, body });
    return { status: `HTTP ${response.status}`, text: JSON.stringify(await response.json(), null, 2) };
  } catch (error) {
    return { status: "no answer", text: String(error) };
  }
}

async function run() {
  if (element("run").disabled) return;
  element("run").disabled = true;
  element("state").textContent = "asking …";
  const { status, text } = await ask();
  // textContent, never innerHTML: the answer holds other people's data.
  element("result").textContent = text;
  element("state").textContent = status;
  element("run").disabled = false;
}

element("run").addEventListener("click", run);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  }
});
