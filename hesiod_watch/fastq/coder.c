/* Compress FASTQ to BGZF, using its structure: headers repeat, bases and qualities do not.
 *
 * Each of the three parts of a record is one deflate block with its own Huffman table. The coder
 * searches repeats only in headers. In bases and qualities a general compressor finds repeats that
 * cost more bits than they save, and spends most of its time on them. Formats: RFC 1951 (the
 * sections named below); SAM/BAM specification, section 4.1.
 *
 * This file does not use Python's headers, so a C compiler is enough: `coder.py` calls
 * `hesiod_pack` through ctypes. The output depends only on the input. All output is read back and
 * compared before it counts.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are written in memory order: little-endian machines only"
#endif

enum {
    BLOCK_BYTES = 65280, /* bytes of input in a BGZF block */
    HEAD_BYTES = 18,
    TRAILER_BYTES = 8,
    DEFLATED_BYTES = 65536 - HEAD_BYTES - TRAILER_BYTES, /* maximum */

    END = 256, /* the symbol that ends a deflate block */
    LITERALS = 286,
    DISTANCES = 30,
    SYMBOLS = LITERALS + DISTANCES,
    /* Longest code used: four codes and seven bits fit into a word. The format allows 15. */
    LITERAL_BITS = 14,
    DISTANCE_BITS = 15,

    /* For fewer symbols the fixed table of the format needs fewer bits than an own table; for
     * fewer tokens of a header, the bits saved by an own table cost more time than they are worth. */
    FEW = 100,
    FEW_TOKENS = 400,
    SHORTEST_REPEAT = 4,
    LONGEST_REPEAT = 258,
    WINDOW = 32768,
    HASH_BITS = 12,
};

/* Bits to write, the first bit lowest. There is room for eight bytes after the written ones. */
typedef struct {
    uint64_t bits;
    unsigned count; /* number of bits; below 8 after `flush` */
    uint8_t *at;
} Writer;

/* A Huffman code, its first bit lowest. */
typedef struct {
    uint16_t bits;
    uint16_t length; /* 0: the symbol does not occur */
} Code;

/* A repeat; if `length` is 0, the literal `value`. */
typedef struct {
    uint16_t length;
    uint16_t value; /* the distance minus one */
} Token;

/* Tables prepared once per call, and data collected during it. */
typedef struct {
    Code fixed[LITERALS + 2];
    Code fixed_distances[DISTANCES];
    /* Codes of one base, of four bases, and of END after them. The index is bits 1 and 2 of each
     * letter, the first base highest. */
    Code one[4];
    Code four[256];
    Code bases_end;
    uint8_t bases_header[64]; /* the bits that begin a block with these codes; not final */
    unsigned bases_header_bits;
    uint16_t seen[1 << HASH_BITS]; /* last position of four bytes in this BGZF block, plus one */
    Token tokens[BLOCK_BYTES];
} State;

static inline void put(Writer *writer, uint64_t bits, unsigned count) {
    writer->bits |= bits << writer->count;
    writer->count += count;
}

static inline void flush(Writer *writer) {
    memcpy(writer->at, &writer->bits, 8);
    writer->at += writer->count >> 3;
    writer->bits >>= writer->count & ~7u;
    writer->count &= 7;
}

static inline void put_code(Writer *writer, Code code) { put(writer, code.bits, code.length); }

static inline void put_four(Writer *writer, Code a, Code b, Code c, Code d) {
    uint64_t ab = a.bits | (uint64_t)b.bits << a.length, cd = c.bits | (uint64_t)d.bits << c.length;
    unsigned length = a.length + b.length;
    put(writer, ab | cd << length, length + c.length + d.length);
    flush(writer);
}

/* ---- Huffman codes ---- */

/* Find code lengths, none above `limit`, that make the output shortest for these frequencies.
 *
 * Moffat and Katajainen, In-Place Calculation of Minimum-Redundancy Codes (1995). If a code is too
 * long, the frequencies are made more even and the calculation is repeated. At least two symbols
 * occur. */
static void find_lengths(const uint32_t *frequency, int symbols, int limit, uint8_t *lengths) {
    uint32_t sorted[SYMBOLS], weight[SYMBOLS];
    int count = 0;
    for (int symbol = 0; symbol < symbols; symbol++) {
        lengths[symbol] = 0;
        if (frequency[symbol]) {
            uint32_t key = frequency[symbol] << 9 | (uint32_t)symbol;
            int at = count++;
            for (; at > 0 && sorted[at - 1] > key; at--) sorted[at] = sorted[at - 1];
            sorted[at] = key;
        }
    }
    for (unsigned even = 0;; even++) {
        for (int i = 0; i < count; i++) weight[i] = (sorted[i] >> 9 >> even) + (even > 0);
        /* Weights of inner nodes from the left; then the index of each node's parent. */
        int leaf = 0, root = 0;
        for (int next = 0; next < count - 1; next++) {
            uint32_t sum = 0;
            for (int child = 0; child < 2; child++) {
                if (leaf >= count || (root < next && weight[root] < weight[leaf])) {
                    sum += weight[root];
                    weight[root++] = (uint32_t)next;
                } else {
                    sum += weight[leaf++];
                }
            }
            weight[next] = sum;
        }
        /* Depths of inner nodes, from the root. */
        weight[count - 2] = 0;
        for (int next = count - 3; next >= 0; next--) weight[next] = weight[weight[next]] + 1;
        /* Depths of leaves: the places not taken by the inner nodes of each depth. */
        int available = 1, inner = count - 2, place = count - 1;
        for (uint32_t depth = 0; available > 0; depth++) {
            int used = 0;
            for (; inner >= 0 && weight[inner] == depth; inner--) used++;
            for (; available > used; available--) {
                lengths[sorted[place--] & 511] = (uint8_t)depth;
            }
            available = 2 * used;
        }
        if (lengths[sorted[0] & 511] <= limit) return;
    }
}

/* Find the codes for these lengths (3.2.2). */
static void find_codes(const uint8_t *lengths, int symbols, Code *codes) {
    unsigned of_length[16] = {0}, next[16] = {0};
    for (int symbol = 0; symbol < symbols; symbol++) of_length[lengths[symbol]]++;
    of_length[0] = 0;
    for (int length = 1; length < 16; length++) {
        next[length] = (next[length - 1] + of_length[length - 1]) << 1;
    }
    for (int symbol = 0; symbol < symbols; symbol++) {
        unsigned length = lengths[symbol], bits = 0;
        if (length) {
            unsigned code = next[length]++;
            for (unsigned i = 0; i < length; i++) bits |= (code >> i & 1) << (length - 1 - i);
        }
        codes[symbol] = (Code){(uint16_t)bits, (uint16_t)length};
    }
}

/* Begin a block with its own codes of these lengths (3.2.7): literals, then distances. */
static void put_header(
    Writer *writer, const uint8_t *literals, const uint8_t *distances, int final
) {
    static const uint8_t order[19] = {
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15
    };
    uint8_t listed[SYMBOLS], runs[SYMBOLS], extra[SYMBOLS], lengths[19];
    uint32_t frequency[19] = {0};
    Code codes[19];
    int literal_count = LITERALS, distance_count = DISTANCES, count = 0;
    while (literal_count > 257 && !literals[literal_count - 1]) literal_count--;
    while (distance_count > 1 && !distances[distance_count - 1]) distance_count--;
    memcpy(listed, literals, (size_t)literal_count);
    memcpy(listed + literal_count, distances, (size_t)distance_count);
    int all = literal_count + distance_count;
    for (int at = 0; at < all;) {
        int same = 1;
        while (at + same < all && listed[at + same] == listed[at]) same++;
        int value = listed[at], symbol = value, most = 1, least = 1;
        if (value == 0 && same >= 11) symbol = 18, least = 11, most = 138;
        else if (value == 0 && same >= 3) symbol = 17, least = 3, most = 10;
        else if (value && same >= 4) {
            runs[count] = (uint8_t)value; /* written once; the rest repeats it */
            extra[count++] = 0;
            frequency[value]++;
            at++, same--;
            symbol = 16, least = 3, most = 6;
        }
        int taken = same < most ? same : most;
        runs[count] = (uint8_t)symbol;
        extra[count++] = (uint8_t)(taken - least);
        frequency[symbol]++;
        at += taken;
    }
    find_lengths(frequency, 19, 7, lengths);
    find_codes(lengths, 19, codes);
    int used = 19;
    while (used > 4 && !lengths[order[used - 1]]) used--;
    put(writer, (uint64_t)(final | 2 << 1), 3);
    put(writer, (uint64_t)(literal_count - 257), 5);
    put(writer, (uint64_t)(distance_count - 1), 5);
    put(writer, (uint64_t)(used - 4), 4);
    for (int i = 0; i < used; i++) {
        flush(writer);
        put(writer, lengths[order[i]], 3);
    }
    for (int i = 0; i < count; i++) {
        static const uint8_t extra_bits[3] = {2, 3, 7};
        int symbol = runs[i];
        flush(writer);
        put(writer, codes[symbol].bits, codes[symbol].length);
        if (symbol >= 16) put(writer, extra[i], extra_bits[symbol - 16]);
    }
    flush(writer);
}

/* ---- Lines without repeats ---- */

/* One distance code that is never used: some readers require one. */
static const uint8_t NO_DISTANCES[DISTANCES] = {1};

static void put_literals(Writer *writer, const uint8_t *data, size_t size, const Code *codes) {
    size_t at = 0;
    for (; at + 4 <= size; at += 4) {
        put_four(
            writer, codes[data[at]], codes[data[at + 1]], codes[data[at + 2]], codes[data[at + 3]]
        );
    }
    for (; at < size; at++) {
        put_code(writer, codes[data[at]]);
        flush(writer);
    }
    put_code(writer, codes[END]);
    flush(writer);
}

static void put_symbols(Writer *writer, State *state, const uint8_t *data, size_t size, int final) {
    if (size < FEW) {
        put(writer, (uint64_t)(final | 1 << 1), 3);
        put_literals(writer, data, size, state->fixed);
        return;
    }
    uint32_t counts[4][256] = {{0}}, frequency[LITERALS] = {0};
    uint8_t lengths[LITERALS];
    Code codes[LITERALS];
    size_t at = 0;
    for (; at + 4 <= size; at += 4) {
        counts[0][data[at]]++;
        counts[1][data[at + 1]]++;
        counts[2][data[at + 2]]++;
        counts[3][data[at + 3]]++;
    }
    for (; at < size; at++) counts[0][data[at]]++;
    for (int i = 0; i < 256; i++) {
        frequency[i] = counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i];
    }
    frequency[END] = 1;
    find_lengths(frequency, END + 1, LITERAL_BITS, lengths);
    memset(lengths + END + 1, 0, LITERALS - END - 1);
    find_codes(lengths, END + 1, codes);
    put_header(writer, lengths, NO_DISTANCES, final);
    put_literals(writer, data, size, codes);
}

/* ---- Bases: two bits for three letters, three bits for the rarest ---- */

static const uint8_t BASES[4] = {'A', 'C', 'T', 'G'}; /* index: bits 1 and 2 of the letter */

static void prepare_bases(State *state, const uint8_t *sample, size_t size) {
    uint32_t frequency[4] = {0};
    uint8_t lengths[LITERALS], unused[8];
    Code codes[LITERALS];
    int rarest = 0;
    memset(lengths, 0, LITERALS);
    for (size_t i = 0; i < size; i++) frequency[sample[i] >> 1 & 3]++;
    for (int i = 1; i < 4; i++) {
        if (frequency[i] < frequency[rarest]) rarest = i;
    }
    for (int i = 0; i < 4; i++) lengths[BASES[i]] = i == rarest ? 3 : 2;
    lengths[END] = 3;
    find_codes(lengths, LITERALS, codes);
    for (int i = 0; i < 4; i++) state->one[i] = codes[BASES[i]];
    state->bases_end = codes[END];
    Writer header = {0, 0, state->bases_header};
    put_header(&header, lengths, NO_DISTANCES, 0);
    state->bases_header_bits = 8 * (unsigned)(header.at - state->bases_header) + header.count;
    memcpy(header.at, &header.bits, 8);
    for (int i = 0; i < 256; i++) {
        Writer four = {0, 0, unused};
        for (int place = 6; place >= 0; place -= 2) put_code(&four, state->one[i >> place & 3]);
        state->four[i] = (Code){(uint16_t)four.bits, (uint16_t)four.count};
    }
}

static inline Code four_bases(const State *state, uint32_t letters) {
    /* The product collects the four pairs of bits in the highest byte, the first base highest. */
    return state->four[((letters >> 1 & 0x03030303u) * 0x40100401u) >> 24];
}

static void put_bases(
    Writer *writer, const State *state, const uint8_t *data, size_t size, int final
) {
    for (unsigned bit = 0; bit < state->bases_header_bits; bit += 32) {
        unsigned left = state->bases_header_bits - bit;
        uint32_t bits;
        memcpy(&bits, state->bases_header + bit / 8, 4);
        put(writer, bit ? bits : bits | (uint32_t)final, left < 32 ? left : 32);
        flush(writer);
    }
    size_t at = 0;
    for (; at + 16 <= size; at += 16) {
        uint32_t letters[4];
        memcpy(letters, data + at, 16);
        Code a = four_bases(state, letters[0]), b = four_bases(state, letters[1]);
        put_four(writer, a, b, four_bases(state, letters[2]), four_bases(state, letters[3]));
    }
    for (; at < size; at++) {
        put_code(writer, state->one[data[at] >> 1 & 3]);
        flush(writer);
    }
    put_code(writer, state->bases_end);
    flush(writer);
}

/* ---- Text: headers, which are similar to the previous ones ---- */

static inline unsigned floor_log2(unsigned number) { return 31u - (unsigned)__builtin_clz(number); }

/* The symbol for the length of a repeat, and the number of extra bits after it (3.2.5). */
static inline int length_symbol(unsigned length, unsigned *extra_bits) {
    unsigned more = length - 3;
    *extra_bits = 0;
    if (length == LONGEST_REPEAT) return 285;
    if (more < 8) return (int)(257 + more);
    *extra_bits = floor_log2(more) - 2;
    return (int)(257 + (*extra_bits << 2) + (more >> *extra_bits));
}

/* The symbol for a distance minus one, and the number of extra bits after it. */
static inline int distance_symbol(unsigned distance, unsigned *extra_bits) {
    *extra_bits = 0;
    if (distance < 4) return (int)distance;
    *extra_bits = floor_log2(distance) - 1;
    return (int)((*extra_bits << 1) + (distance >> *extra_bits));
}

static inline unsigned hash_of(const uint8_t *data) {
    uint32_t four;
    memcpy(&four, data, 4);
    return four * 2654435761u >> (32 - HASH_BITS);
}

/* Cut data[start:stop] into tokens; return their number. `data` is the BGZF block; repeats may
 * refer to any part of it. */
static size_t find_repeats(State *state, const uint8_t *data, size_t start, size_t stop) {
    size_t count = 0, at = start;
    while (at < stop) {
        size_t length = 0, before = 0;
        if (at + SHORTEST_REPEAT <= stop) {
            uint16_t *seen = &state->seen[hash_of(data + at)];
            before = *seen;
            *seen = (uint16_t)(at + 1);
            if (before && at + 1 - before <= WINDOW) {
                size_t most = stop - at < LONGEST_REPEAT ? stop - at : LONGEST_REPEAT;
                while (length < most && data[before - 1 + length] == data[at + length]) length++;
            }
        }
        if (length >= SHORTEST_REPEAT) {
            state->tokens[count++] = (Token){(uint16_t)length, (uint16_t)(at - before)};
            for (size_t end = at + length; ++at < end;) {
                if (at + SHORTEST_REPEAT <= stop)
                    state->seen[hash_of(data + at)] = (uint16_t)(at + 1);
            }
        } else {
            state->tokens[count++] = (Token){0, data[at++]};
        }
    }
    return count;
}

static void put_tokens(
    Writer *writer, const Token *tokens, size_t count, const Code *literals, const Code *distances
) {
    for (size_t i = 0; i < count; i++) {
        Token token = tokens[i];
        if (token.length) {
            unsigned extra;
            int symbol = length_symbol(token.length, &extra);
            put_code(writer, literals[symbol]);
            put(writer, (uint64_t)(token.length - 3) & ((1u << extra) - 1), extra);
            symbol = distance_symbol(token.value, &extra);
            put_code(writer, distances[symbol]);
            put(writer, (uint64_t)token.value & ((1u << extra) - 1), extra);
        } else {
            put_code(writer, literals[token.value]);
        }
        flush(writer);
    }
    put_code(writer, literals[END]);
    flush(writer);
}

static void put_text(
    Writer *writer, State *state, const uint8_t *data, size_t start, size_t stop, int final
) {
    size_t count = find_repeats(state, data, start, stop);
    if (count < FEW_TOKENS) {
        put(writer, (uint64_t)(final | 1 << 1), 3);
        put_tokens(writer, state->tokens, count, state->fixed, state->fixed_distances);
        return;
    }
    uint32_t frequency[LITERALS] = {0}, distance_frequency[DISTANCES] = {0};
    uint8_t lengths[LITERALS], distance_lengths[DISTANCES];
    Code literals[LITERALS], distances[DISTANCES];
    int different = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned extra;
        Token token = state->tokens[i];
        if (token.length) {
            frequency[length_symbol(token.length, &extra)]++;
            distance_frequency[distance_symbol(token.value, &extra)]++;
        } else {
            frequency[token.value]++;
        }
    }
    frequency[END] = 1;
    /* A tree needs two leaves. */
    for (int i = 0; i < DISTANCES; i++) different += distance_frequency[i] > 0;
    for (int i = 0; different < 2; i++) {
        if (!distance_frequency[i]) distance_frequency[i] = 1, different++;
    }
    find_lengths(frequency, LITERALS, LITERAL_BITS, lengths);
    find_lengths(distance_frequency, DISTANCES, DISTANCE_BITS, distance_lengths);
    find_codes(lengths, LITERALS, literals);
    find_codes(distance_lengths, DISTANCES, distances);
    put_header(writer, lengths, distance_lengths, final);
    put_tokens(writer, state->tokens, count, literals, distances);
}

static void prepare_fixed(State *state) {
    uint8_t lengths[LITERALS + 2], distances[DISTANCES];
    /* 3.2.6 */
    for (int i = 0; i < LITERALS + 2; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    memset(distances, 5, sizeof distances);
    find_codes(lengths, LITERALS + 2, state->fixed);
    find_codes(distances, DISTANCES, state->fixed_distances);
}

/* ---- BGZF ---- */

/* Write the records data[0:size] as BGZF blocks to `out`; return the number of bytes.
 *
 * stops: for each of `records` records, the positions where its header line, its bases and its
 *     qualities end. The positions never decrease, and the last is `size`. The bytes between bases
 *     and qualities are coded with the qualities.
 * plain: all bases are A, C, G or T.
 * crcs: the CRC-32 of each BLOCK_BYTES of data.
 * out: has room for 65536 bytes per BLOCK_BYTES of data. */
size_t hesiod_pack(
    const uint8_t *data, size_t size, const int64_t *stops, size_t records, int plain,
    const uint32_t *crcs, uint8_t *out
) {
    static const uint8_t head[16] = {31, 139, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, 'B', 'C', 2, 0};
    uint8_t deflated[DEFLATED_BYTES + 4 * BLOCK_BYTES];
    State state;
    uint8_t *written = out;
    size_t line = 0;
    prepare_fixed(&state);
    if (plain && records) {
        size_t bases = (size_t)(stops[1] - stops[0]);
        prepare_bases(&state, data + stops[0], bases < BLOCK_BYTES ? bases : BLOCK_BYTES);
    }
    for (size_t start = 0; start < size; start += BLOCK_BYTES) {
        const uint8_t *block = data + start;
        size_t length = size - start < BLOCK_BYTES ? size - start : BLOCK_BYTES;
        Writer writer = {0, 0, deflated};
        memset(state.seen, 0, sizeof state.seen);
        for (size_t at = 0; at < length && writer.at < deflated + DEFLATED_BYTES;) {
            size_t stop = (size_t)stops[line] - start;
            size_t until = stop < length ? stop : length;
            int final = until == length;
            if (at < until) {
                if (line % 3 == 0) put_text(&writer, &state, block, at, until, final);
                else if (line % 3 == 1 && plain)
                    put_bases(&writer, &state, block + at, until - at, final);
                else put_symbols(&writer, &state, block + at, until - at, final);
            }
            at = until;
            line += stop <= length;
        }
        size_t packed = (size_t)(writer.at - deflated) + (writer.count > 0);
        if (packed > 5 + length) {
            /* The data grew, or coding was given up. Stored without compression (one final block,
             * 3.2.4), they always fit. */
            for (; line < 3 * records && (size_t)stops[line] <= start + length; line++) continue;
            deflated[0] = 1;
            memcpy(deflated + 1, (uint16_t[2]){(uint16_t)length, (uint16_t)~length}, 4);
            memcpy(deflated + 5, block, length);
            packed = 5 + length;
        } else {
            *writer.at = (uint8_t)writer.bits;
        }
        uint16_t last = (uint16_t)(HEAD_BYTES + packed + TRAILER_BYTES - 1);
        uint32_t trailer[2] = {crcs[start / BLOCK_BYTES], (uint32_t)length};
        memcpy(written, head, sizeof head);
        memcpy(written + sizeof head, &last, 2);
        memcpy(written + HEAD_BYTES, deflated, packed);
        memcpy(written + HEAD_BYTES + packed, trailer, TRAILER_BYTES);
        written += HEAD_BYTES + packed + TRAILER_BYTES;
    }
    return (size_t)(written - out);
}
