// Runs page.mjs as a page of the edge, in a browser without a screen: node uppy.mjs uppy ENDPOINT FILE
import { readFileSync } from "node:fs";
import { build } from "esbuild";
import { JSDOM } from "jsdom";

const [, endpoint, path] = process.argv.slice(2);
const built = await build({
  entryPoints: ["page.mjs"],
  bundle: true,
  platform: "browser",
  format: "iife",
  write: false,
  logLevel: "error",
});
const options = { url: new URL("/", endpoint).href, runScripts: "outside-only", pretendToBeVisual: true };
const { window } = new JSDOM("<!doctype html>", options);
window.eval(built.outputFiles[0].text);
console.log(JSON.stringify(await window.send(endpoint, new window.Uint8Array(readFileSync(path)))));
process.exit(0);
