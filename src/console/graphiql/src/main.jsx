// GraphiQL against this server. A new token makes a new fetcher, which makes GraphiQL read the schema again.
import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "../../plain/token.css";
import "./page.css";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { GraphiQL } from "graphiql";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { parse } from "graphql";
import { createClient } from "graphql-ws";
import { EXAMPLES } from "../../plain/examples.js";
import { authorization, fetchWithToken, onTokenChange, unauthorized } from "../../plain/token.js";

// Read in GraphiQL's first tab, so here and not in the examples, which the plain page has too.
const HINTS = `# Ctrl+Enter (⌘+Enter) asks.
# Ctrl+Space offers what fits at the cursor.
# The book on the left lists every type.
# The token goes into the bar above.
`;

const TABS = EXAMPLES.map(({ query }, index) => ({ query: index === 0 ? HINTS + query : query }));

// The close codes of graphql-transport-ws for a token that is missing or refused.
const REFUSED_CLOSE_CODES = [4401, 4403];
const isRefusal = (event) => REFUSED_CLOSE_CODES.includes(event?.code);

function connect() {
  const url = new URL("/graphql/ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return createClient({
    url: url.href,
    connectionParams: authorization,
    // graphql-ws would try a refused token five more times before it says so.
    shouldRetry: (event) => event instanceof CloseEvent && !isRefusal(event),
    on: { closed: (event) => isRefusal(event) && unauthorized() },
  });
}

function newConnection() {
  const wsClient = connect();
  const send = createGraphiQLFetcher({
    url: "/graphql",
    fetch: fetchWithToken,
    wsClient,
    enableIncrementalDelivery: false,
  });
  return { wsClient, fetcher: (request, options) => send(request, { ...options, documentAST: read(request.query) }) };
}

// What is asked decides between HTTP and WebSocket. GraphiQL's own reading lags behind the editor: a subscription that
// is run right after typing would go over HTTP.
function read(query) {
  try {
    return parse(query);
  } catch {
    // The server says better what is wrong with it.
    return undefined;
  }
}

function Page() {
  const [connection, setConnection] = useState(newConnection);
  useEffect(() => onTokenChange(() => setConnection(newConnection())), []);
  // The socket of the old token ends with it.
  useEffect(() => () => connection.wsClient.dispose(), [connection]);
  // No headers editor: its text ends up in localStorage with the history, and the bar is the one place for the token.
  return (
    <GraphiQL
      fetcher={connection.fetcher}
      defaultTabs={TABS}
      // Of a tab that is opened anew.
      defaultQuery={HINTS}
      isHeadersEditorEnabled={false}
      shouldPersistHeaders={false}
      showPersistHeadersSettings={false}
    />
  );
}

createRoot(document.getElementById("graphiql")).render(<Page />);
