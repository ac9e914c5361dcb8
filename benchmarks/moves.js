/*
 * Runs in a page from its first moment: waits until the first control works, then moves one
 * control after another and takes the time.
 *
 * An adapter has ready(), true when the controls work, and move(names, state, k), which puts
 * control k to its position in `state` as a reader's hand would; if the page answers later, it
 * returns a promise.
 */
async ({ adapter, names, counts, start, moves, seed }) => {
  const pause = (time) => new Promise((done) => setTimeout(done, time));
  // After the callbacks of a frame the browser lays out and paints; only then comes a message.
  const painted = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  }));
  const random = () => { // mulberry32
    seed = (seed + 0x6d2b79f5) | 0;
    let value = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };

  const state = [...start];
  const movable = counts.map((_, k) => k).filter((k) => counts[k] > 1);
  const result = { script: [], frame: [], first: 0 };
  while (!adapter.ready()) await pause(4);
  for (let n = 0; n < moves; n++) {
    const k = movable[Math.floor(random() * movable.length)];
    state[k] = (state[k] + 1 + Math.floor(random() * (counts[k] - 1))) % counts[k];
    const began = performance.now();
    const shown = adapter.move(names, state, k);
    result.script.push(performance.now() - began);
    await shown;
    await painted();
    result.frame.push(performance.now() - began);
    if (n === 0) result.first = performance.now();
    // The next move may come at any moment of a frame.
    await pause(20 + 40 * random());
  }
  return result;
}
