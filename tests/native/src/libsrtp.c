/* One key of libsrtp, commanded in lines: see libsrtp.rs.
 *
 *   libsrtp PROFILE KEY WINDOW SERVICES
 *
 * PROFILE is the number that DTLS knows it by, KEY the master key and the master salt in hexadecimal digits, WINDOW that of
 * replay protection, SERVICES "clear" if SRTCP is authenticated only, else "encrypted".
 *
 * Each line of input is `protect`, `unprotect`, `protect_rtcp` or `unprotect_rtcp`, a space, and a packet in hexadecimal
 * digits. Each line of output is `ok` and the other packet, or `error` and an srtp_err_status_t. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <srtp2/srtp.h>

enum { MAX_PACKET = 2048 };

static void check(srtp_err_status_t status, const char *what) {
    if (status != srtp_err_status_ok) {
        fprintf(stderr, "%s: error %d\n", what, status);
        exit(1);
    }
}

/* Stops at the first that is no digit. */
static int unhex(const char *text, unsigned char *bytes, int max) {
    int len = 0;
    unsigned int byte;
    while (len < max && sscanf(text + 2 * len, "%2x", &byte) == 1)
        bytes[len++] = (unsigned char)byte;
    return len;
}

static srtp_t session(char **argv, srtp_ssrc_type_t direction) {
    static unsigned char key[64];
    srtp_profile_t profile = (srtp_profile_t)atoi(argv[1]);
    srtp_policy_t policy;
    srtp_t session;

    memset(&policy, 0, sizeof policy);
    check(srtp_crypto_policy_set_from_profile_for_rtp(&policy.rtp, profile), "profile");
    check(srtp_crypto_policy_set_from_profile_for_rtcp(&policy.rtcp, profile), "profile");
    if (strcmp(argv[4], "clear") == 0)
        policy.rtcp.sec_serv = sec_serv_auth;
    unhex(argv[2], key, sizeof key);
    policy.key = key;
    policy.window_size = (unsigned long)atoi(argv[3]);
    policy.ssrc.type = direction;
    check(srtp_create(&session, &policy), "session");
    return session;
}

int main(int argc, char **argv) {
    static char line[2 * MAX_PACKET + 64];
    static union {
        unsigned char bytes[MAX_PACKET + SRTP_MAX_TRAILER_LEN + 64];
        unsigned int aligned;
    } packet;
    srtp_t outbound, inbound;

    if (argc != 5)
        return 2;
    check(srtp_init(), "init");
    outbound = session(argv, ssrc_any_outbound);
    inbound = session(argv, ssrc_any_inbound);
    while (fgets(line, sizeof line, stdin)) {
        srtp_err_status_t status = srtp_err_status_bad_param;
        char *space = strchr(line, ' ');
        int len;
        if (!space)
            return 2;
        *space = 0;
        len = unhex(space + 1, packet.bytes, MAX_PACKET);
        if (strcmp(line, "protect") == 0)
            status = srtp_protect(outbound, packet.bytes, &len);
        else if (strcmp(line, "unprotect") == 0)
            status = srtp_unprotect(inbound, packet.bytes, &len);
        else if (strcmp(line, "protect_rtcp") == 0)
            status = srtp_protect_rtcp(outbound, packet.bytes, &len);
        else if (strcmp(line, "unprotect_rtcp") == 0)
            status = srtp_unprotect_rtcp(inbound, packet.bytes, &len);
        if (status == srtp_err_status_ok) {
            printf("ok ");
            for (int i = 0; i < len; i++)
                printf("%02x", packet.bytes[i]);
            printf("\n");
        } else {
            printf("error %d\n", status);
        }
        fflush(stdout);
    }
    return 0;
}
