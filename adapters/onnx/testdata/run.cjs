// Runs models with onnxruntime-web and prints their updates as JSON: {model: steps × coordinates}.
//
//     run.cjs FOLDER-WITH-NODE_MODULES GRADIENTS.json MODEL...
//
// GRADIENTS.json holds steps × coordinates.
const { createRequire } = require('node:module');
const fs = require('node:fs');
const path = require('node:path');

const [folder, gradients, ...models] = process.argv.slice(2);
const ort = createRequire(path.join(path.resolve(folder), 'x.js'))('onnxruntime-web');
ort.env.wasm.numThreads = 1;

(async () => {
  const all = JSON.parse(fs.readFileSync(gradients, 'utf8'));
  const out = {};
  for (const model of models) {
    const session = await ort.InferenceSession.create(fs.readFileSync(model), { executionProviders: ['wasm'] });
    const rows = session.inputNames.includes('state') ? Number(path.basename(model).match(/\.(\d+)\.onnx$/)[1]) : 0;
    const n = all[0].length;
    let state = new ort.Tensor('float32', new Float32Array(rows * n), [rows, n]);
    out[model] = [];
    for (const [k, gradient] of all.entries()) {
      const feeds = {
        gradient: new ort.Tensor('float32', Float32Array.from(gradient), [n]),
        step: new ort.Tensor('int64', BigInt64Array.from([BigInt(k + 1)]), []),
      };
      if (rows > 0) feeds.state = state;
      const { update, next_state } = await session.run(feeds);
      out[model].push(Array.from(update.data));
      state = next_state;
    }
  }
  process.stdout.write(JSON.stringify(out), () => process.exit(0)); // a pipe takes a part at a time
})().catch((e) => { console.error(e); process.exit(1); });
