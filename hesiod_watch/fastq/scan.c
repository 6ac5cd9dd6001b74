/* Find FASTQ records and measure them, in one pass over the text.
 *
 * Only usual text is measured here. At anything else (a fault, Windows line ends, a letter that is
 * no base, very short records) the scan gives up, and `records` and `measure` look at the same
 * text in Python: they repair it, or name the fault. So there is one place that judges faults.
 *
 * This file does not use Python's headers: `coder.py` calls `hesiod_scan` through ctypes.
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    SKIPPED = 60, /* bases at the start of a read whose errors are summed apart */
    CHANNEL = 0,
    START,
    SCORE,
    MODEL,
    FIELDS,
    LANES = 16,
};

static const int64_t ABSENT = -1, UNUSUAL = -2; /* instead of a number in a header */

/* Sums over all records. */
typedef struct {
    int64_t gc, acgt, q20, q30;
    int64_t plain; /* all bases are A, C, G or T */
} Totals;

typedef uint8_t Lanes __attribute__((vector_size(LANES)));

static inline Lanes lanes(const uint8_t *data) {
    Lanes found;
    memcpy(&found, data, LANES);
    return found;
}

static inline int64_t sum(Lanes counts) {
    int64_t total = 0;
    for (int i = 0; i < LANES; i++) total += counts[i];
    return total;
}

/* ---- Bases and qualities ---- */

/* The bases that are not A, C, G or T, in upper or lower case; U counts as T. */
static int count_rare_bases(const uint8_t *bases, size_t size, int64_t *gc, int64_t *acgt) {
    static const char others[] = "NRYKMSWBDHVnrykmswbdhv.-*";
    *gc = *acgt = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t base = bases[i];
        if (base && strchr("GCgc", base)) ++*gc, ++*acgt;
        else if (base && strchr("ATUatu", base)) ++*acgt;
        else if (!base || !strchr(others, base)) return 0;
    }
    return 1;
}

/* Count the bases of a read; 0 if one is no base. */
static int count_bases(const uint8_t *bases, size_t size, Totals *totals) {
    int64_t gc = 0, at = 0;
    size_t i = 0;
    while (i + LANES <= size) {
        Lanes of_gc = {0}, of_at = {0};
        /* A lane counts to 255. */
        for (int times = 0; times < 255 && i + LANES <= size; times++, i += LANES) {
            Lanes some = lanes(bases + i);
            of_gc -= (Lanes)((some == 'G') | (some == 'C'));
            of_at -= (Lanes)((some == 'A') | (some == 'T'));
        }
        gc += sum(of_gc);
        at += sum(of_at);
    }
    for (; i < size; i++) {
        gc += bases[i] == 'G' || bases[i] == 'C';
        at += bases[i] == 'A' || bases[i] == 'T';
    }
    int64_t acgt = gc + at;
    if ((size_t)acgt != size) {
        totals->plain = 0;
        if (!count_rare_bases(bases, size, &gc, &acgt)) return 0;
    }
    totals->gc += gc;
    totals->acgt += acgt;
    return 1;
}

static inline uint64_t sum_errors(const uint8_t *symbols, size_t size, const uint64_t *errors) {
    uint64_t sums[4] = {0};
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t eight;
        memcpy(&eight, symbols + i, 8);
        for (int j = 0; j < 8; j++) sums[j & 3] += errors[eight >> 8 * j & 255];
    }
    for (; i < size; i++) sums[0] += errors[symbols[i]];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

/* Count the good qualities of a read; 0 if a symbol is no quality. */
static int count_qualities(const uint8_t *symbols, size_t size, Totals *totals) {
    size_t i = 0;
    Lanes strange = {0};
    while (i + LANES <= size) {
        Lanes of_q20 = {0}, of_q30 = {0};
        for (int times = 0; times < 255 && i + LANES <= size; times++, i += LANES) {
            Lanes some = lanes(symbols + i);
            of_q20 -= (Lanes)(some >= 33 + 20);
            of_q30 -= (Lanes)(some >= 33 + 30);
            strange |= (Lanes)((some < 33) | (some > 126));
        }
        totals->q20 += sum(of_q20);
        totals->q30 += sum(of_q30);
    }
    for (; i < size; i++) {
        totals->q20 += symbols[i] >= 33 + 20;
        totals->q30 += symbols[i] >= 33 + 30;
        strange[0] |= symbols[i] < 33 || symbols[i] > 126;
    }
    return sum(strange) == 0;
}

/* ---- Headers ---- */

/* The number in `count` decimal digits; -1 if one is no digit. */
static int64_t digits(const uint8_t *text, size_t count) {
    int64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        number = 10 * number + (text[i] - '0');
    }
    return number;
}

static int64_t channel_of(const uint8_t *text, size_t size) {
    return 0 < size && size < 7 ? digits(text, size) : ABSENT;
}

/* A score like 12.4562 in millionths. */
static int64_t score_of(const uint8_t *text, size_t size) {
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    const uint8_t *point = memchr(text, '.', size);
    size_t whole = point ? (size_t)(point - text) : size, places = point ? size - whole - 1 : 0;
    if (whole < 1 || whole > 3 || places > 9 || (point && !places)) return UNUSUAL;
    int64_t number = digits(text, whole), fraction = places ? digits(point + 1, places) : 0;
    if (number < 0 || fraction < 0) return UNUSUAL;
    /* Both numbers are exact, so the quotient is the nearest to the text, as in Python. */
    double score = ((double)number * powers[places] + (double)fraction) / powers[places];
    return score <= 100 ? (int64_t)rint(score * 1e6) : ABSENT;
}

/* A time like 2024-05-01T12:34:56.789+01:00 in microseconds since 1970. */
static int64_t start_of(const uint8_t *text, size_t size) {
    static const uint8_t days_of_month[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (size < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':'
        || text[16] != ':')
        return UNUSUAL;
    int64_t year = digits(text, 4), month = digits(text + 5, 2), day = digits(text + 8, 2);
    int64_t hour = digits(text + 11, 2), minute = digits(text + 14, 2);
    int64_t second = digits(text + 17, 2), fraction = 0, zone = 0;
    if (year < 1971 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0
        || minute > 59 || second < 0 || second > 59)
        return UNUSUAL;
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > days_of_month[month - 1] + (month == 2 && leap)) return UNUSUAL;
    size_t at = 19;
    if (text[at] == '.') {
        size_t places = 0;
        for (at++; at < size && text[at] >= '0' && text[at] <= '9'; at++, places++) {
            fraction = 10 * fraction + (text[at] - '0');
        }
        if (places < 1 || places > 6) return UNUSUAL;
        for (; places < 6; places++) fraction *= 10;
    }
    if (size - at == 6 && (text[at] == '+' || text[at] == '-') && text[at + 3] == ':') {
        int64_t hours = digits(text + at + 1, 2), minutes = digits(text + at + 4, 2);
        if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return UNUSUAL;
        zone = (text[at] == '+' ? 60 : -60) * (60 * hours + minutes);
    } else if (size - at != 1 || text[at] != 'Z') {
        return UNUSUAL;
    }
    /* Days before the year, then before the month. */
    int64_t past = year - 1, days = 365 * (year - 1970) + past / 4 - past / 100 + past / 400 - 477;
    for (int64_t i = 0; i < month - 1; i++) days += days_of_month[i] + (i == 1 && leap);
    int64_t seconds = 86400 * (days + day - 1) + 3600 * hour + 60 * minute + second - zone;
    return 1000000 * seconds + fraction;
}

typedef struct {
    const char *name;
    size_t size;
    int field;
} Key;

/* The same keys as in `headers`. */
static const Key KEYS[] = {
    {"ch=", 3, CHANNEL},
    {"start_time=", 11, START},
    {"basecall_model_version_id=", 26, MODEL},
    {"model_version_id=", 17, MODEL},
    {"ch:i:", 5, CHANNEL},
    {"st:Z:", 5, START},
    {"qs:f:", 5, SCORE},
    {"RG:Z:", 5, MODEL},
};

/* Find the fields of data[at:end]: their places in `places`, (field, 2), or -1; 0 if the header has
 * a character that is neither text nor a blank or tab. */
static int find_fields(const uint8_t *data, size_t at, size_t end, int64_t *places) {
    for (int i = 0; i < 2 * FIELDS; i++) places[i] = ABSENT;
    while (at < end) {
        size_t start = at;
        for (; at < end && data[at] > ' '; at++) continue;
        if (at < end && data[at] != ' ' && data[at] != '\t') return 0;
        for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
            const Key *key = KEYS + i;
            if (at - start < key->size || data[start] != (uint8_t)key->name[0]
                || memcmp(data + start, key->name, key->size) != 0)
                continue;
            if (places[2 * key->field] == ABSENT) {
                places[2 * key->field] = (int64_t)(start + key->size);
                places[2 * key->field + 1] = (int64_t)at;
            }
        }
        at++;
    }
    return 1;
}

/* ---- Records ---- */

/* Find the whole records at the start of data[0:size], and measure them; return their number, or
 * -1 if they are not usual or more than `limit`.
 *
 * errors: error of each quality symbol, in units of 2^-36.
 * starts, ends: (records, 4), where each line starts, and where its newline is.
 * sums: (records, 2), errors of the first SKIPPED bases, and of the other bases.
 * numbers: (records, 3), channel, start and score from the header; ABSENT, or UNUSUAL if the text
 *     must be looked at.
 * places: (records, 4, 2), where the text of channel, start, score and model is; ABSENT, for the
 *     model also if it is the same as in the record before. */
int64_t hesiod_scan(
    const uint8_t *data, size_t size, size_t limit, const uint64_t *errors, int64_t *starts,
    int64_t *ends, uint64_t *sums, int64_t *numbers, int64_t *places, Totals *totals
) {
    size_t at = 0, records = 0;
    int64_t model[2] = {0, 0};
    *totals = (Totals){.plain = 1};
    for (;;) {
        size_t start[4], end[4];
        for (int line = 0; line < 4; line++) {
            const uint8_t *newline = at < size ? memchr(data + at, '\n', size - at) : NULL;
            if (!newline) return (int64_t)records;
            start[line] = at;
            end[line] = (size_t)(newline - data);
            at = end[line] + 1;
            if (end[line] > start[line] && newline[-1] == '\r') return -1;
        }
        size_t length = end[1] - start[1];
        if (records == limit || data[start[0]] != '@' || data[start[2]] != '+'
            || length != end[3] - start[3])
            return -1;
        for (int line = 0; line < 4; line++) {
            starts[4 * records + (size_t)line] = (int64_t)start[line];
            ends[4 * records + (size_t)line] = (int64_t)end[line];
        }
        const uint8_t *symbols = data + start[3];
        size_t skipped = length < SKIPPED ? length : SKIPPED;
        if (!count_bases(data + start[1], length, totals)) return -1;
        if (!count_qualities(symbols, length, totals)) return -1;
        sums[2 * records] = sum_errors(symbols, skipped, errors);
        sums[2 * records + 1] = sum_errors(symbols + skipped, length - skipped, errors);

        int64_t *found = places + 2 * FIELDS * records, *number = numbers + 3 * records;
        if (!find_fields(data, start[0], end[0], found)) return -1;
        int64_t (*const read[3])(const uint8_t *, size_t) = {channel_of, start_of, score_of};
        for (int i = CHANNEL; i <= SCORE; i++) {
            const int64_t *place = found + 2 * i;
            number[i] = place[0] == ABSENT
                            ? ABSENT
                            : read[i](data + place[0], (size_t)(place[1] - place[0]));
        }
        int64_t *name = found + 2 * MODEL;
        if (name[0] != ABSENT) {
            size_t letters = (size_t)(name[1] - name[0]);
            if (name[1] - name[0] == model[1] - model[0]
                && memcmp(data + name[0], data + model[0], letters) == 0)
                name[0] = ABSENT;
            else model[0] = name[0], model[1] = name[1];
        }
        records++;
    }
}
