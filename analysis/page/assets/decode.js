// Arrays as analysis/page/pack.py packs them: a byte an element, as a share of the row's largest number.

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** An array whose rows are read one at a time: row(...index) is a Float32Array of the last axis. */
function unpack(packed) {
  const values = bytes(packed.values);
  const peaks = new Float32Array(bytes(packed.peaks).buffer);
  const { shape } = packed;
  const width = shape[shape.length - 1];
  function row(...index) {
    const number = index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
    const scale = peaks[number] / 255;
    return Float32Array.from(values.subarray(number * width, (number + 1) * width), (value) => value * scale);
  }
  return { shape, row };
}

/** The mean of rows of one length. */
function mean(rows) {
  const sum = new Float32Array(rows[0].length);
  for (const row of rows) row.forEach((value, i) => { sum[i] += value / rows.length; });
  return sum;
}

/** The rows of a matrix, weighted and added. */
function mixed(weights, row) {
  const sum = new Float32Array(row(0).length);
  weights.forEach((weight, i) => {
    if (weight > 0) row(i).forEach((value, j) => { sum[j] += weight * value; });
  });
  return sum;
}
