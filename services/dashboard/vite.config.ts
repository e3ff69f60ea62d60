import { defineConfig } from 'vite'

export default defineConfig({
  root: 'src',
  // Relative, so that the page also works below a path of a proxy.
  base: './',
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    // The policy of the api allows nothing inline, not even small images or a preload script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
