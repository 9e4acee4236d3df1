// Makes Chromium's screenshots small: 256 colours, which a page of text and flat surfaces does not miss.
// PNG (Third Edition), https://www.w3.org/TR/png-3/.
import assert from 'node:assert/strict';
import { crc32, deflateSync, inflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');
const COLOURS = 256;
/** Bytes of a pixel: red, green, blue. */
const PIXEL = 3;

/** The same picture with a palette of its most frequent colours. */
export function small(png) {
  const { width, height, pixels } = decoded(png);
  const colour = at => pixels.readUIntBE(at * PIXEL, PIXEL);
  const counts = new Map();
  for (let at = 0; at < width * height; at += 1) counts.set(colour(at), (counts.get(colour(at)) ?? 0) + 1);
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, COLOURS).map(([value]) => value);
  const nearest = new Map([...counts.keys()].map(value => [value, indexOfNearest(palette, value)]));
  // Each line begins with its filter, none.
  const lines = Buffer.alloc(height * (width + 1));
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) lines[y * (width + 1) + 1 + x] = nearest.get(colour(y * width + x));
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  // Eight bits, a palette.
  head.set([8, 3], 8);
  const colours = Buffer.alloc(palette.length * PIXEL);
  palette.forEach((value, at) => colours.writeUIntBE(value, at * PIXEL, PIXEL));
  const chunks = [chunk('IHDR', head), chunk('PLTE', colours), chunk('IDAT', deflateSync(lines, { level: 9 })), chunk('IEND', Buffer.alloc(0))];
  return Buffer.concat([SIGNATURE, ...chunks]);
}

function indexOfNearest(palette, wanted) {
  const distance = value => [16, 8, 0].reduce((sum, shift) => sum + (((value >> shift) & 255) - ((wanted >> shift) & 255)) ** 2, 0);
  let best = 0;
  palette.forEach((value, at) => {
    if (distance(value) < distance(palette[best])) best = at;
  });
  return best;
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]);
  const made = Buffer.alloc(body.length + 8);
  made.writeUInt32BE(data.length, 0);
  body.copy(made, 4);
  made.writeUInt32BE(crc32(body), body.length + 4);
  return made;
}

/** The pixels of a picture as Chromium writes it: eight bits, no alpha, not interlaced. */
function decoded(png) {
  const data = [];
  for (let at = SIGNATURE.length; at < png.length; at += png.readUInt32BE(at) + 12) {
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT') data.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  assert.deepEqual([png[24], png[25], png[28]], [8, 2, 0], 'eight bits, colours without alpha, not interlaced');
  const filtered = inflateSync(Buffer.concat(data));
  const stride = width * PIXEL;
  const pixels = Buffer.alloc(height * stride);
  for (let y = 0; y < height; y += 1) {
    const filter = filtered[y * (stride + 1)];
    for (let x = 0; x < stride; x += 1) {
      const at = y * stride + x;
      const left = x < PIXEL ? 0 : pixels[at - PIXEL];
      const above = y === 0 ? 0 : pixels[at - stride];
      const corner = x < PIXEL || y === 0 ? 0 : pixels[at - stride - PIXEL];
      const guess = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter];
      pixels[at] = filtered[y * (stride + 1) + 1 + x] + guess;
    }
  }
  return { width, height, pixels };
}

/** The neighbour that is nearest to left + above - corner. */
function paeth(left, above, corner) {
  const [byLeft, byAbove, byCorner] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
  if (byLeft <= byAbove && byLeft <= byCorner) return left;
  return byAbove <= byCorner ? above : corner;
}
