// SPDX-License-Identifier: MIT
#include "bench/report/text.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

void html_text(FILE *html, const char *text) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            fputs("&amp;", html);
        else if (c == '<')
            fputs("&lt;", html);
        else if (c == '>')
            fputs("&gt;", html);
        else if (c == '"')
            fputs("&quot;", html);
        else if (c == '\'')
            fputs("&#39;", html);
        else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            fputs("&#xfffd;", html);
        else
            fputc(c, html);
    }
}

void plain_text(const char *text, char *plain, size_t size) {
    size_t used = 0;
    for (; *text && used + 1 < size; text++)
        plain[used++] = isalnum((unsigned char)*text) || strchr(" .:%+-/()=", *text) ? *text : '_';
    plain[used] = '\0';
}

char *number_text(double value, char *text, size_t size) {
    if (!isfinite(value)) {
        snprintf(text, size, "–");
        return text;
    }
    double magnitude = fabs(value);
    if (magnitude < 0.001 && magnitude > 0) {
        snprintf(text, size, "%.2g", value);
        return text;
    }
    double step = pow(10, floor(log10(magnitude > 0 ? magnitude : 1)) - 2); // rounded first: 999.6 is 1000
    double rounded = magnitude >= 100 ? round(value / (step > 1 ? step : 1)) * (step > 1 ? step : 1) : value;
    magnitude = fabs(rounded);
    if (magnitude < 9999.5) {
        int decimals = magnitude >= 99.95 ? 0 : magnitude >= 9.995 ? 1 : magnitude >= 0.9995 ? 2 : magnitude >= 0.09995 ? 3 : 4;
        snprintf(text, size, "%.*f", value == 0 ? 0 : decimals, rounded);
        return text;
    }
    char digits[64];
    int length = snprintf(digits, sizeof digits, "%.0f", magnitude), used = 0;
    if (length >= 22) {
        snprintf(text, size, "%.2e", value);
        return text;
    }
    char grouped[128];
    used += snprintf(grouped, sizeof grouped, "%s", rounded < 0 ? "−" : "");
    for (int i = 0; i < length; i++)
        used += snprintf(grouped + used, sizeof grouped - (size_t)used, "%s%c", i && (length - i) % 3 == 0 ? "\u202f" : "",
                         digits[i]);
    snprintf(text, size, "%s", grouped);
    return text;
}

char *bytes_text(double bytes, char *text, size_t size) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    char number[64];
    int unit = 0;
    for (; bytes >= 999.5 && unit < 4; unit++)
        bytes /= 1000;
    number_text(bytes, number, sizeof number);
    snprintf(text, size, isfinite(bytes) ? "%s %s" : "%s", number, units[unit]);
    return text;
}

char *change_text(double ratio, char *text, size_t size) {
    char number[64];
    double percent = (ratio - 1) * 100;
    if (!(ratio < 2)) {
        number_text(ratio, number, sizeof number);
        snprintf(text, size, isfinite(ratio) ? "×%s" : "%s", number);
    } else if (fabs(percent) < 0.005)
        snprintf(text, size, "±0%%");
    else
        snprintf(text, size, "%s%.*f%%", percent > 0 ? "+" : "−", fabs(percent) >= 9.95 ? 0 : fabs(percent) >= 0.995 ? 1 : 2,
                 fabs(percent));
    return text;
}
