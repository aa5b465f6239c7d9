import { defineConfig } from "vite";

// With `npm run dev` the page comes from here and the data from a server that runs beside it.
const server = "http://127.0.0.1:8080";

export default defineConfig({
  base: "/console/",
  build: {
    outDir: "built",
    emptyOutDir: true,
    // An inlined file would need a weaker Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Colours are light-dark(), which older browsers do not know; nothing else needs to be as new.
    target: ["chrome123", "firefox120", "safari17.5"],
  },
  server: { proxy: { "/graphql": { target: server, ws: true } } },
});
