// llama.cpp on the same prompt: node llama.mjs MODEL.gguf OURS.json THREADS ROUNDS
// OURS.json: what engine_bench wrote; its `prompt` is read. Prints one JSON object.
import {readFile} from "node:fs/promises";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [file, ours, threads, rounds] = process.argv.slice(2);
const {prompt} = JSON.parse(await readFile(ours, "utf8"));
const kContext = 128, kSteps = 32, kBatch = 8;

const llama = await getLlama({gpu: false, build: "never", maxThreads: +threads, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: file, useMmap: false, gpuLayers: 0});
const context = await model.createContext({
  sequences: kBatch, contextSize: Math.max(prompt.length, kContext) + kSteps + 64, batchSize: 512,
  threads: {ideal: +threads, min: +threads}
});
const sequences = Array.from({length: kBatch}, () => context.getSequence());
const seconds = async (body) => {
  const start = process.hrtime.bigint();
  await body();
  return Number(process.hrtime.bigint() - start) / 1e9;
};
const generate = async (sequence, last, count, onToken = () => {}) => {
  let done = 0;
  for await (const token of sequence.evaluate([last], {temperature: 0, yieldEogToken: true})) {
    onToken(token);
    if (++done === count) break;
  }
};
const fill = async (sequence, tokens) => {
  await sequence.clearHistory();
  await sequence.evaluateWithoutGeneratingNewTokens(tokens);
};

const greedy = [];
await fill(sequences[0], prompt.slice(0, 99));
await generate(sequences[0], prompt[99], 16, (token) => greedy.push(token));

const best = async (measure) => {
  let least = Infinity;
  for (let i = 0; i < +rounds; ++i) least = Math.min(least, await measure());
  return least;
};
const prefill = await best(async () => {
  await sequences[0].clearHistory();
  return seconds(() => sequences[0].evaluateWithoutGeneratingNewTokens(prompt));
});
const decode = await best(async () => {
  await fill(sequences[0], prompt.slice(0, kContext));
  return seconds(() => generate(sequences[0], prompt[kContext], kSteps));
});
const batch = await best(async () => {
  for (const sequence of sequences) await fill(sequence, prompt.slice(0, kContext));
  return seconds(() => Promise.all(sequences.map((sequence) => generate(sequence, prompt[kContext], kSteps))));
});
console.log(JSON.stringify({
  greedy, prefill: prompt.length / prefill, decode: kSteps / decode, batch: kBatch * kSteps / batch
}));
process.exit(0);
