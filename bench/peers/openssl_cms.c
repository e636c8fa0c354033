/* The floor of a C program: OpenSSL's CMS in one process, in memory, many times over.
 *
 *   openssl_cms seal MAIL SIGNER.pem SIGNER.key gcm|cbc oaep|v15 TIMES RECIPIENT.pem...
 *   openssl_cms open SEALED READER.pem READER.key ROOTS.pem TIMES
 *
 * seal: multipart/signed, then encrypted for all recipients. open: decrypted, then verified up to
 * one of the roots. Prints milliseconds of processor time for one mail; exit 1 says what failed.
 */
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void demand(int held, const char *what) {
    if (!held) {
        fprintf(stderr, "openssl_cms: %s\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

static BIO *file(const char *name) {
    BIO *bio = BIO_new_file(name, "rb");
    demand(bio != NULL, name);
    return bio;
}

static X509 *certificate(const char *name) {
    BIO *bio = file(name);
    X509 *found = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    demand(found != NULL, name);
    BIO_free(bio);
    return found;
}

static EVP_PKEY *private_key(const char *name) {
    BIO *bio = file(name);
    EVP_PKEY *found = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    demand(found != NULL, name);
    BIO_free(bio);
    return found;
}

static char *content(const char *name, int *size) {
    FILE *opened = fopen(name, "rb");
    demand(opened != NULL && fseek(opened, 0, SEEK_END) == 0, name);
    *size = (int)ftell(opened);
    rewind(opened);
    char *data = malloc((size_t)*size);
    demand(data != NULL && fread(data, 1, (size_t)*size, opened) == (size_t)*size, name);
    fclose(opened);
    return data;
}

static double processor_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void seal(char *mail, int size, X509 *signer, EVP_PKEY *key, int gcm, int oaep,
                 STACK_OF(X509) *recipients) {
    const EVP_CIPHER *cipher = gcm ? EVP_aes_256_gcm() : EVP_aes_256_cbc();
    BIO *in = BIO_new_mem_buf(mail, size), *signed_mail = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    int detached = CMS_DETACHED | CMS_STREAM, sealing = CMS_STREAM | CMS_BINARY;

    CMS_ContentInfo *inner = CMS_sign(signer, key, NULL, in, detached);
    demand(inner != NULL && SMIME_write_CMS(signed_mail, inner, in, detached), "signing");
    CMS_ContentInfo *outer = CMS_encrypt(NULL, signed_mail, cipher, sealing | CMS_PARTIAL);
    demand(outer != NULL, "encrypting");
    for (int n = 0; n < sk_X509_num(recipients); n++) {
        X509 *one = sk_X509_value(recipients, n);
        int rsa = EVP_PKEY_get_id(X509_get0_pubkey(one)) == EVP_PKEY_RSA;
        CMS_RecipientInfo *info =
            CMS_add1_recipient_cert(outer, one, rsa && oaep ? CMS_KEY_PARAM : 0);
        demand(info != NULL, "adding a recipient");
        if (rsa && oaep) {
            EVP_PKEY_CTX *how = CMS_RecipientInfo_get0_pkey_ctx(info);
            demand(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_OAEP_PADDING) > 0 &&
                       EVP_PKEY_CTX_set_rsa_oaep_md(how, EVP_sha256()) > 0 &&
                       EVP_PKEY_CTX_set_rsa_mgf1_md(how, EVP_sha256()) > 0,
                   "OAEP");
        }
    }
    demand(SMIME_write_CMS(out, outer, signed_mail, sealing), "writing");
    CMS_ContentInfo_free(inner);
    CMS_ContentInfo_free(outer);
    BIO_free(in);
    BIO_free(signed_mail);
    BIO_free(out);
}

static void open_mail(char *mail, int size, X509 *reader, EVP_PKEY *key, X509_STORE *roots) {
    BIO *in = BIO_new_mem_buf(mail, size), *opened = BIO_new(BIO_s_mem());
    BIO *detached = NULL, *out = BIO_new(BIO_s_mem());

    CMS_ContentInfo *outer = SMIME_read_CMS(in, NULL);
    demand(outer != NULL && CMS_decrypt(outer, key, reader, NULL, opened, CMS_BINARY), "decrypting");
    CMS_ContentInfo *inner = SMIME_read_CMS(opened, &detached);
    demand(inner != NULL && CMS_verify(inner, NULL, roots, detached, out, CMS_BINARY), "verifying");
    CMS_ContentInfo_free(inner);
    CMS_ContentInfo_free(outer);
    BIO_free(in);
    BIO_free(opened);
    BIO_free(detached);
    BIO_free(out);
}

int main(int count, char **words) {
    int size, times;
    double begun;
    demand(count >= 7, "see the head of openssl_cms.c");
    OPENSSL_free(OPENSSL_malloc(4 << 20));  /* as gateway/memory.py: glibc then keeps memory from mail to mail */
    char *mail = content(words[2], &size);
    X509 *own = certificate(words[3]);
    EVP_PKEY *key = private_key(words[4]);
    if (strcmp(words[1], "seal") == 0) {
        demand(count >= 9, "see the head of openssl_cms.c");
        STACK_OF(X509) *recipients = sk_X509_new_null();
        for (int n = 8; n < count; n++) sk_X509_push(recipients, certificate(words[n]));
        int gcm = strcmp(words[5], "gcm") == 0, oaep = strcmp(words[6], "oaep") == 0;
        times = atoi(words[7]);
        seal(mail, size, own, key, gcm, oaep, recipients);  /* what is made once is made here */
        begun = processor_ms();
        for (int n = 0; n < times; n++) seal(mail, size, own, key, gcm, oaep, recipients);
    } else {
        X509_STORE *roots = X509_STORE_new();
        demand(X509_STORE_load_locations(roots, words[5], NULL), words[5]);
        times = atoi(words[6]);
        open_mail(mail, size, own, key, roots);
        begun = processor_ms();
        for (int n = 0; n < times; n++) open_mail(mail, size, own, key, roots);
    }
    printf("%.4f\n", (processor_ms() - begun) / times);
    return 0;
}
