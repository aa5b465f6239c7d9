import { defineConfig } from "vite";

export default defineConfig({
  // The server has GraphiQL under this path, its assets under /graphiql/assets/.
  base: "/graphiql/",
  build: {
    // An inlined script or a data: worker would need a weaker Content-Security-Policy.
    assetsInlineLimit: (file) => file.endsWith(".ttf"),
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 4000,
  },
  worker: { format: "es" },
});
