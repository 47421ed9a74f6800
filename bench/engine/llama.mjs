// llama.cpp on the same prompt: node llama.mjs MODEL.gguf OURS.json THREADS ROUNDS
// OURS.json: what engine_bench wrote; its `prompt` is read. Prints one JSON object: tokens a second, by the clock and of CPU time.
import {readFile} from "node:fs/promises";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [file, ours, threads, rounds] = process.argv.slice(2);
const {prompt} = JSON.parse(await readFile(ours, "utf8"));
const kContext = 128, kSteps = 16, kBatch = 8;

const llama = await getLlama({gpu: false, build: "never", maxThreads: +threads, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: file, useMmap: false, gpuLayers: 0});
const context = await model.createContext({
  sequences: kBatch, contextSize: Math.max(prompt.length, kContext) + kSteps + 64, batchSize: 512,
  threads: {ideal: +threads, min: +threads}
});
const sequences = Array.from({length: kBatch}, () => context.getSequence());
const cpu = () => { const {user, system} = process.cpuUsage(); return (user + system) / 1e6; };
const seconds = async (body) => {
  const start = process.hrtime.bigint(), before = cpu();
  await body();
  return {wall: Number(process.hrtime.bigint() - start) / 1e9, cpu: cpu() - before};
};
const generate = async (sequence, last, count, onToken = () => {}) => {
  let done = 0;
  for await (const token of sequence.evaluate([last], {temperature: 0, yieldEogToken: true})) {
    onToken(token);
    if (++done === count) break;
  }
};
// What comes after the beginning that two prompts share is forgotten.
const fill = async (sequence, tokens) => {
  const same = tokens.findIndex((token, i) => sequence.contextTokens[i] !== token);
  const kept = same < 0 ? tokens.length : same;
  await sequence.eraseContextTokenRanges([{start: kept, end: sequence.nextTokenIndex}]);
  if (kept < tokens.length) await sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(kept));
};

const greedy = [];
await fill(sequences[0], prompt.slice(0, 99));
await generate(sequences[0], prompt[99], 16, (token) => greedy.push(token));

const best = async (tokens, measure) => {
  const least = {wall: Infinity, cpu: Infinity};
  for (let i = 0; i < +rounds; ++i) {
    const {wall, cpu} = await measure();
    least.wall = Math.min(least.wall, wall);
    least.cpu = Math.min(least.cpu, cpu);
  }
  return {wall: tokens / least.wall, cpu: tokens / least.cpu};
};
const prefill = await best(prompt.length, async () => {
  await sequences[0].clearHistory();
  return seconds(() => sequences[0].evaluateWithoutGeneratingNewTokens(prompt));
});
const decode = await best(kSteps, async () => {
  await fill(sequences[0], prompt.slice(0, kContext));
  return seconds(() => generate(sequences[0], prompt[kContext], kSteps));
});
const batch = await best(kBatch * kSteps, async () => {
  for (const sequence of sequences) await fill(sequence, prompt.slice(0, kContext));
  return seconds(() => Promise.all(sequences.map((sequence) => generate(sequence, prompt[kContext], kSteps))));
});
console.log(JSON.stringify({greedy, prefill, decode, batch}));
process.exit(0);
