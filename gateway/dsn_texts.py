"""What failure notices say to people, in each language.

The words are those administrators and users search for; the codes beside them are RFC 3463's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Texts:
    """One language. meanings: by enhanced code without its class; "" is any other."""

    from_name: str
    subject: str
    date_format: str
    opening: str
    reason: str
    said: str
    detail: str
    headers_only: str
    help: str
    meanings: dict[str, str]

    def meaning(self, status: str) -> str:
        """What an enhanced code means, in words."""
        return self.meanings.get(status[2:], self.meanings[""])


_ENGLISH = Texts(
    from_name="Mail Delivery System",
    subject="Undelivered mail returned to sender (delivery failure)",
    date_format="%Y-%m-%d %H:%M UTC",
    opening=(
        "This is the mail gateway {host}.\n\n"
        "Your message, received on {date}, could not be delivered to the\n"
        "recipients below. Delivery has failed for good, it will not be tried again."
    ),
    reason="Reason: {reason} ({status})",
    said="The mail server {host} said: {text}",
    detail="Detail: {text}",
    headers_only=(
        "Your message had to be encrypted. For that reason its text and its\n"
        "attachments do not come back with this notice, only some header fields."
    ),
    help="If you need help, forward this notice to your administrator.\nArchive id: {id}",
    meanings={
        "": "the message was not accepted",
        "1.1": "unknown recipient, the address does not exist",
        "1.2": "unknown domain, the part of the address after the @ does not exist",
        "1.3": "the address is not valid",
        "1.10": "the domain of the recipient takes no mail",
        "2.1": "the mailbox is disabled",
        "2.2": "the mailbox is full, over quota",
        "2.3": "the message is too large for the mailbox",
        "3.4": "the message is too large for the mail server",
        "4.1": "the mail server did not answer",
        "4.4": "no route to the mail server",
        "4.6": "mail loop",
        "4.7": "delivery time expired, the mail server could not be reached for too long",
        "6.3": "the mail server does not take 8-bit data",
        "6.7": "the mail server does not take internationalised addresses (SMTPUTF8)",
        "7.0": "refused for security reasons",
        "7.1": "refused by policy, not allowed to send this message",
        "7.4": "secure transport (TLS) is required and was not possible",
        "7.5": "encryption is required and was not possible, no usable certificate",
    },
)

_FRENCH = Texts(
    from_name="Mail Delivery System",
    subject="Message non remis : échec de la distribution (undelivered mail)",
    date_format="%d/%m/%Y %H:%M UTC",
    opening=(
        "Ici la passerelle de messagerie {host}.\n\n"
        "Votre message, reçu le {date}, n'a pas pu être remis aux\n"
        "destinataires ci-dessous. L'échec est définitif, aucun autre essai n'aura lieu."
    ),
    reason="Raison : {reason} ({status})",
    said="Le serveur de messagerie {host} a répondu : {text}",
    detail="Précision : {text}",
    headers_only=(
        "Votre message devait être chiffré. C'est pourquoi son texte et ses pièces\n"
        "jointes ne reviennent pas avec cet avis, mais seulement quelques en-têtes."
    ),
    help=(
        "Si vous avez besoin d'aide, transférez cet avis à votre administrateur.\n"
        "Identifiant d'archive : {id}"
    ),
    meanings={
        "": "le message n'a pas été accepté",
        "1.1": "destinataire inconnu, l'adresse n'existe pas",
        "1.2": "domaine inconnu, ce qui suit le @ dans l'adresse n'existe pas",
        "1.3": "l'adresse n'est pas valide",
        "1.10": "le domaine du destinataire ne reçoit pas de courrier",
        "2.1": "la boîte aux lettres est désactivée",
        "2.2": "la boîte aux lettres est pleine, quota dépassé",
        "2.3": "le message est trop volumineux pour la boîte aux lettres",
        "3.4": "le message est trop volumineux pour le serveur de messagerie",
        "4.1": "le serveur de messagerie n'a pas répondu",
        "4.4": "aucune route vers le serveur de messagerie",
        "4.6": "boucle de courrier",
        "4.7": "délai de remise expiré, le serveur est resté trop longtemps injoignable",
        "6.3": "le serveur de messagerie n'accepte pas les données à 8 bits",
        "6.7": "le serveur n'accepte pas les adresses internationalisées (SMTPUTF8)",
        "7.0": "refusé pour des raisons de sécurité",
        "7.1": "refusé par la politique, envoi de ce message non autorisé",
        "7.4": "un transport sûr (TLS) est exigé et n'a pas été possible",
        "7.5": "le chiffrement est exigé et n'a pas été possible, aucun certificat utilisable",
    },
)

LANGUAGES = {"en": _ENGLISH, "fr": _FRENCH}
