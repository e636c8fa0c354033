"""Notices in French. The English word of each status stands beside: people search for it."""

from __future__ import annotations

from gateway.dsn.model import Event
from gateway.dsn.texts import Texts

FRENCH = Texts(
    from_name="Mail Delivery System",
    subjects={
        Event.FAILED: "Message non remis : échec de la distribution (undeliverable, failed)",
        Event.DELAYED: "Message retardé : pas encore remis, nouveaux essais prévus (delayed)",
        Event.HELD: "Message en attente de vérification, pas encore envoyé (held for review)",
        Event.RELAYED: "Message relayé au serveur suivant (relayed)",
    },
    date_format="%d/%m/%Y %H:%M UTC",
    greeting="Ici la passerelle de messagerie {host}.",
    openings={
        Event.FAILED: (
            "Votre message, reçu le {date}, n'a pas pu être remis aux destinataires ci-dessous "
            "(undeliverable). L'échec est définitif, aucun autre essai n'aura lieu."
        ),
        Event.DELAYED: (
            "CECI N'EST QU'UN AVERTISSEMENT. IL EST INUTILE DE RENVOYER VOTRE MESSAGE.\n\n"
            "Votre message, reçu le {date}, n'a pas encore pu être remis aux destinataires "
            "ci-dessous (retardé, delayed, échec temporaire)."
        ),
        Event.HELD: (
            "Votre message, reçu le {date}, est en attente de vérification (held for review) : il "
            "n'a pas encore été envoyé aux destinataires ci-dessous et attend une décision. Il est "
            "inutile de le renvoyer."
        ),
        Event.RELAYED: (
            "Votre message, reçu le {date}, a été relayé (relayed) : le serveur de messagerie "
            "ci-dessous l'a accepté pour les destinataires ci-dessous. Ce serveur n'envoie pas de "
            "confirmation : personne ne vous dira quand il aura été remis ou lu."
        ),
    },
    until={
        Event.DELAYED: (
            "De nouveaux essais auront lieu jusqu'au {date}. S'ils échouent, vous en serez averti."
        ),
        Event.HELD: "Sans décision avant le {date}, il vous reviendra comme non remis.",
    },
    reason="Raison : {reason} ({status})",
    said="Le serveur de messagerie {host} a répondu :",
    detail="Précision : {text}",
    expired="Abandon : délai de remise expiré (delivery time expired)",
    headers_only=(
        "Votre message devait être chiffré. C'est pourquoi son objet, son texte et ses pièces "
        "jointes ne reviennent pas avec cet avis, mais seulement quelques en-têtes."
    ),
    help="Si vous avez besoin d'aide, transférez cet avis à votre administrateur.",
    archive_id="Identifiant d'archive (archive id) : {id}",
    message_id="Message-ID : {id}",
    meanings={
        "": "le message n'a pas été accepté",
        "0.0": "le serveur de messagerie n'a pas donné de raison",
        "1.1": "destinataire inconnu, l'adresse n'existe pas",
        "1.2": "domaine inconnu, ce qui suit le @ dans l'adresse n'existe pas",
        "1.3": "l'adresse n'est pas valide",
        "1.10": "le domaine du destinataire ne reçoit pas de courrier",
        "2.1": "la boîte aux lettres est désactivée",
        "2.2": "la boîte aux lettres est pleine, quota dépassé",
        "2.3": "le message est trop volumineux pour la boîte aux lettres",
        "3.0": "une erreur du système de messagerie",
        "3.2": "le serveur de messagerie n'accepte pas de messages",
        "3.4": "le message est trop volumineux pour le serveur de messagerie",
        "4.1": "le serveur de messagerie n'a pas répondu",
        "4.2": "la connexion au serveur de messagerie a été perdue",
        "4.3": "un annuaire ou un serveur de noms n'a pas répondu",
        "4.4": "aucune route vers le serveur de messagerie",
        "4.6": "boucle de courrier",
        "4.7": "délai de remise expiré, le serveur est resté trop longtemps injoignable",
        "6.3": "le serveur de messagerie n'accepte pas les données à 8 bits",
        "6.7": "le serveur n'accepte pas les adresses internationalisées (SMTPUTF8)",
        "7.0": "refusé pour des raisons de sécurité",
        "7.1": "non autorisé par la politique",
        "7.4": "un transport sûr (TLS) est exigé et n'a pas été possible",
        "7.5": "le chiffrement est exigé et n'a pas été possible, aucun certificat utilisable",
    },
)
