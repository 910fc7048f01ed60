// Uploads one file with an unmodified tus-js-client and prints what came of it: node upload.mjs WAY ENDPOINT FILE
import { readFileSync } from "node:fs";
import { Upload } from "tus-js-client";

const [way, endpoint, path] = process.argv.slice(2);
const data = readFileSync(path);
const metadata = { filename: "clip.mp4", filetype: "video/mp4" };
const retryDelays = Array(30).fill(20);

function upload(options) {
  return new Promise((resolve, reject) => {
    let asset = null;
    const one = new Upload(data, {
      endpoint,
      retryDelays,
      metadata,
      onAfterResponse: (_, response) => { asset = response.getHeader("Viseme-Asset-Id") ?? asset; },
      onSuccess: () => resolve({ asset }),
      onError: reject,
      ...options,
    });
    one.start();
  });
}

async function abort() {
  const url = await new Promise((resolve, reject) => {
    const one = new Upload(data, {
      endpoint,
      metadata,
      chunkSize: 100_000,
      onError: reject,
      onChunkComplete: () => one.abort(true).then(() => resolve(one.url), reject),
    });
    one.start();
  });
  const left = await fetch(url, { method: "HEAD", headers: { "Tus-Resumable": "1.0.0" } });
  return { status: left.status };
}

const ways = {
  whole: () => upload({}),
  chunks: () => upload({ chunkSize: 300_000 }),
  creation: () => upload({ uploadDataDuringCreation: true }),
  parallel: () => upload({ parallelUploads: 3 }),
  override: () => upload({ overridePatchMethod: true }),
  abort,
};
console.log(JSON.stringify(await ways[way]()));
process.exit(0);
